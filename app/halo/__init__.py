"""The HaloPSA API: Paydue speaks it so that HaloPSA's clients need no change.

    access       credentials, tokens, scopes, the rate limit
    engine       list, save, read and delete for any declared Resource, and idempotency
    resources    the Resources, one file each: fields, filters, texts
    openapi      the document and the page that shows it
    actions      endpoints on invoices that are none of those four
    routes       every URL of the API on one page

May import ledger, documents, storage and rules, but nothing of payments; nothing below imports it.
Begin with `routes`, then `engine/resource_routes` and one of the `resources`.
"""
