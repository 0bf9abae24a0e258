"""The Resources: for each, its table's fields with their texts, its filters and its further output.

May import the engine, the tables, rules and the ledger's input types. Begin with `site_resource`,
which is small, or `invoice_resource`; `passthrough` lists the properties that are only kept. A new
Resource also needs its line in `app/halo/routes.py`.
"""
