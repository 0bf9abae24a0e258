"""Invoices as a pay link shows them, and the Checkout Session that it leads to.

Begin with `link_checkout.py`: between the page's button and the address of a session stands the
same guard that autopay has, so that nobody pays an invoice twice.
"""
