"""Every column of an invoice is decided about: an invoice takes it from its template, or it is its
own. A new column makes these tests fail until it stands in COPIED or in the list here.
"""

import pytest

from app.ledger.recurring import COPIED, LINE_COPIED
from app.storage.column_types import table_of
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, Invoice, InvoiceLine

# What a new invoice has of its own: its number and state, its dates and sums, what became of it
# elsewhere; and what is the template's alone: its schedule, and whether it is disabled.
OWN = frozenset(
    """
    id invoicenumber is_recurring_invoice recurring_invoice_id made_for posted voided
    approval_status reviewrequired thirdpartyinvoicenumber xeroid qboid change_seq
    rounded_by_line tax_point_date
    invoice_date duedate dateposted datesent datepaid date_created last_modified
    total tax_total revenue amountpaid amountdue paymentstatus payments_pending payments_reversed
    currency_iso currency_conversion_rate
    startdate enddate lastcreated nextcreationdate anchored_at period disabled
    extra
    """.split()
)
# Inactive lines are not copied at all; `extra` is copied with where it comes from. The dates of an
# invoice's line are those it bills, and pro rata entries become lines of their own.
LINE_OWN = frozenset("id ihid isinactive startdate enddate prorata_data extra".split())


@pytest.mark.parametrize(
    ("table", "copied", "own"), [(Invoice, COPIED, OWN), (InvoiceLine, LINE_COPIED, LINE_OWN)]
)
def test_each_column_is_copied_from_the_template_or_the_invoices_own(
    table: type[Invoice | InvoiceLine], copied: tuple[str, ...], own: frozenset[str]
) -> None:
    columns = set(table_of(table).c.keys())

    undecided = columns - own - set(copied)

    assert undecided == set(), "decide: ledger/recurring.py COPIED, or the list of this test"
    assert (set(copied) - columns, own - columns, own & set(copied)) == (set(), set(), set())


@pytest.mark.parametrize(("table", "row"), [(Invoice, FullInvoiceRow), (InvoiceLine, FullLineRow)])
def test_a_row_names_every_column_in_the_tables_order(
    table: type[Invoice | InvoiceLine], row: type[FullInvoiceRow | FullLineRow]
) -> None:
    assert list(row._fields) == table_of(table).c.keys()
