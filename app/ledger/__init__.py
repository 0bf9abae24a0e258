"""The only writer of invoices and payments.

Each function takes a batch and the transaction its caller opened, and never commits. It may import
`rules`, `storage` and `errors`, nothing of HTTP, of Stripe or of the API. Lock order: invoices by
id, then anything else of theirs.

Begin with `settlement` (payments, from webhooks, charges and people) and `balances` (what each
invoice owes after them). An invoice is written by `invoicing`: `invoice_input` is what its caller
said, `invoice_draft` what the invoice will be. `recurring` makes the invoices of templates;
`audit` records every change.
"""
