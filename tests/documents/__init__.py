"""Documents: how they are printed, and whether e-invoices are valid."""
