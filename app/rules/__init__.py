"""The rules of the business: pure functions of plain values, which answer values.

Nothing here reads a clock, a database or a network; a rule that needs the time is given `now`. It
imports only the standard library, `app.errors` and `holidays`, which is tables of days.

Begin with `invoice` (what is owed) and `payment` (which of two reports wins). `retry`, `attempt`
and `calendar` are about charges, `schedule` and `tax` about the invoices that templates make and
the rates of their lines.
"""
