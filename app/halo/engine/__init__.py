"""The engine: it knows no resource by name, and offers any that is declared.

    resource_routes    the endpoints list, save, read and delete
    list_query         query parameters to filters, order and page; `filters` are their classes
    pagination         the rows of a page, and the length of the list
    record_queries     records with children and attached fields
    codec              rows to JSON and back; `parsing` are the parsers of values
    crud               writes a resource's own table
    idempotency        a POST with an Idempotency-Key is done once
    resource           the declaration that all of them read

May import access, openapi's operations, storage and rules; no resource and nothing of the ledger.
Begin with `resource_routes` for the way of a request, or with `resource` for a declaration.
"""
