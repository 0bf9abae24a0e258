"""Paydue: Stripe webhooks become payments, due invoices are charged once, support finds them."""
