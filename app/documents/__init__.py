"""Documents of invoices and clients: PDFs by Typst, and e-invoices of the same data.

`invoice_document` reads one into the plain values of `document_content`, `invoice_view` makes all
its texts, `templates` lay them out, and `typst_process` prints. May import storage and rules.
Begin with `printer`.
"""
