"""Storage: two database engines behind one Database, and the tables.

    engines          Database: transactions, snapshots, retries
    sqlite_driver    SQLite: connections, and writers that take turns
    driver_errors    errors of both drivers, translated once
    prepared         prepared statements with typed rows, for the money path
    bulk_writes      many rows in one statement, several tables in one message
    open_transaction the driver of the open transaction, below both
    new_rows         whole new rows, and their ids
    rows             many rows of one table in one statement
    column_types     exact numbers, instants and JSON as columns
    fulltext         text search by trigrams
    schema           migrations
    tables           the tables, one file a group

Knows no HTTP and no API: may import rules, errors and settings only. Begin with `engines`.
"""
