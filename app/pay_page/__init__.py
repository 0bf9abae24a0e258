"""The page of a pay link, for customers of those who run Paydue: no login, no cookie, no script.

Begin with `visitor_page.py`. A visitor sees what is owed and goes on to Stripe's own page; no field
for a card is ours. Whoever has a link's address may see and pay what it is for.
"""
