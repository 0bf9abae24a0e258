"""GET /repeated: was anybody charged twice? Payments of one client and amount within a week."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, String, cast, func, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _, ngettext, number_text
from app.console.pages.cells import ListSection
from app.console.pages.chrome import reading, times_of
from app.console.pages.list_view import ListView, show_list
from app.console.pages.listing import (
    LOOKED_AT_MAX,
    FilterField,
    filter_bar,
    filter_values,
)
from app.console.pages.payments_page import payments_section
from app.console.pages.payments_reads import find_clients, load_payment_lines
from app.console.pages.wording import ViewerTime, shown_amount
from app.console.routing import Viewer
from app.rules.repeated_payment import PaidAmount, repeated_payments
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoice_payments import InvoicePayment

SHARES = table_of(InvoicePayment)

# A client that pays weekly pays one amount every seven days; twice within less is looked at.
WITHIN = timedelta(days=6)
# Groups that one page shows, the newest first.
SHOWN_MAX = 20
_PATH = "/repeated"
_FIELDS = (FilterField("client", N_("Client"), hint=N_("name or id")),)


async def repeated_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    async with reading(request) as tx:
        clients = await find_clients(tx, values["client"]) if "client" in values else None
        groups = await load_repeated(tx, clients)
        view = ListView(
            title=_("Charged twice?"),
            sections=[await _section(tx, group, times) for group in groups[:SHOWN_MAX]]
            or [ListSection(_("Payments"), (), (), _("No amount was paid twice"))],
            lede=_lede(groups),
            bar=filter_bar(_PATH, _FIELDS, values),
        )
        return await show_list(request, viewer, tx, view)


async def load_repeated(
    tx: Tx, clients: Sequence[int] | None, looked_at: int = LOOKED_AT_MAX
) -> list[list[PaidAmount]]:
    """Such groups among the newest payments that count: of these clients, or of all."""
    whose: list[ColumnElement[bool]] = []
    if clients is not None:
        whose.append(SHARES.c.client_id.in_(clients))
    payment = func.coalesce(SHARES.c.intent_id, cast(SHARES.c.id, String))
    columns = (SHARES.c.id, payment, SHARES.c.client_id, SHARES.c.currency_iso)
    rows = await tx.execute(
        select(*columns, SHARES.c.amount, SHARES.c.date)
        .where(SHARES.c.client_id.is_not(None), SHARES.c.counted > 0, *whose)
        .where(SHARES.c.credit_note_id.is_(None))
        .order_by(SHARES.c.id.desc())
        .limit(looked_at)
    )
    paid = [PaidAmount._make(row) for row in rows]
    return repeated_payments(paid, WITHIN)


def _lede(groups: Sequence[Sequence[PaidAmount]]) -> str:
    looked_at = _(
        "among the newest %(looked_at_max)s payments", looked_at_max=number_text(LOOKED_AT_MAX)
    )
    if not groups:
        return _(
            "No client paid one amount twice within %(days)s days, %(looked_at)s.",
            days=WITHIN.days,
            looked_at=looked_at,
        )
    shown = (
        _(", the newest %(shown_max)s shown", shown_max=SHOWN_MAX)
        if len(groups) > SHOWN_MAX
        else ""
    )
    return _(
        "%(count)s with more than one payment within %(days)s days, "
        "%(looked_at)s%(shown)s. Each invoice stands beside its payment: two for "
        "one invoice are one too many.",
        count=ngettext("%(num)s client and amount", "%(num)s clients and amounts", len(groups)),
        days=WITHIN.days,
        looked_at=looked_at,
        shown=shown,
    )


async def _section(tx: Tx, group: Sequence[PaidAmount], times: ViewerTime) -> ListSection:
    lines = await load_payment_lines(tx, [one.id for one in group], times)
    amount = shown_amount(group[0].amount, group[0].currency)
    title = f"{lines[0].row.client_name or group[0].client_id}, {amount.text}"
    section = payments_section(lines, with_client=False)
    return section._replace(
        title=title, note=ngettext("%(num)s payment", "%(num)s payments", len(lines))
    )
