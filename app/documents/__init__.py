"""Documents of invoices: `invoice_document` reads one, `invoice_pdf` prints it.

May import storage and rules. Begin with `invoice_document`.
"""
