"""Mail: what clients and the finance team are written, and how it is sent without being sent twice.

`mail_content` makes plain values of a message's facts, in the language of whoever reads them;
`mail_rendering` makes text and HTML of these; `mail_delivery` sends what waits in the outbox.
The ledger and the jobs write the outbox (`ledger/outbox.py`).
"""
