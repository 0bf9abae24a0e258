"""The tables, one module for each group of them: columns, indexes, and hardly a statement.

A column has the name of the field in HaloPSA's API. Tables may import the rest of `storage` and
`rules`; they know neither the API nor the ledger. Begin with `invoices`. A changed column needs a
migration too; tests/test_schema.py compares the two.
"""
