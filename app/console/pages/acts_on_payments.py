"""Actions on payments: refund in part or whole, and say what unapplied money is for."""

import secrets
from decimal import Decimal

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import _
from app.console.pages.action_forms import (
    REASON,
    ActionForm,
    FormAction,
    FormField,
    amount_given,
    text_given,
)
from app.console.pages.chrome import id_in_path, reading
from app.console.pages.ledger_acts import database_of, ledger_context, who, write_notes
from app.console.pages.payment_reads import IntentRow, load_payment_details
from app.console.pages.payments_reads import (
    ListedPayment,
    find_invoices,
    load_listed_payments,
)
from app.console.pages.unapplied_page import load_numbers
from app.console.pages.wording import method_name, shown_amount
from app.console.routing import Viewer, redirect
from app.errors import InvalidField, NotFound
from app.halo.refund_actions import MakeRefund
from app.ledger import assignment
from app.ledger.refund_requests import WantedRefund
from app.ledger.suggestions import list_suggestions
from app.payments import lookup
from app.rules import money
from app.storage.engines import Tx

_KEY_MAX = 64


# --- refund ------------------------------------------------------------------------------------


async def _refund_form(request: Request, tx: Tx) -> ActionForm:
    intent_id: str = request.path_params["intent_id"]
    details = await load_payment_details(tx, intent_id)
    if details is None or details.intent is None:
        raise NotFound("payment", intent_id)
    left = shown_amount(_amount_left(details.intent), details.currency)
    wanted = shown_amount(_amount_wanted(request, details.intent), details.currency)
    method = method_name(details.intent.payment_method_name) or _("where it came from")
    return ActionForm(
        title=_("Refund to %(method)s", method=method),
        lede=_("Up to %(left)s can go back. A refund cannot be undone.", left=left.text),
        button=_("Refund"),
        leave=_("Keep the money"),
        back=f"/payments/{intent_id}",
        fields=(
            FormField(
                "amount",
                _("Amount in %(currency)s", currency=left.currency),
                wanted.number,
                kind="amount",
            ),
            REASON,
            # The same form sent twice makes one refund.
            FormField("key", "", secrets.token_urlsafe(16), kind="hidden"),
        ),
        facts=((_("Client"), details.client_name or _("not known")), (_("Payment"), intent_id)),
        is_dangerous=True,
    )


def _amount_left(intent: IntentRow) -> Decimal:
    return max(intent.amount - intent.amount_refunded - intent.amount_lost, Decimal(0))


def _amount_wanted(request: Request, intent: IntentRow) -> Decimal:
    """All that is left, or half of it where that was asked for in the box."""
    left = _amount_left(intent)
    if request.query_params.get("part") != "half":
        return left
    return money.rounded(left / 2, intent.currency_iso)


async def _refund(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    intent_id: str = request.path_params["intent_id"]
    make_refund: MakeRefund = request.app.state.make_refund
    key = text_given(given, "key", _KEY_MAX)
    made = await make_refund(
        WantedRefund(
            text_given(given, "reason"),
            who(viewer),
            intent_id=intent_id,
            amount=amount_given(given),
            caller_key=f"console:{viewer.user_id}:{key}",
        )
    )
    amount = shown_amount(Decimal(made["amount"]), made["currency"])
    return _(
        "A refund of %(amount)s is %(state)s.", amount=amount.text, state=made["state"]
    ), f"/payments/{intent_id}"


# --- assign ------------------------------------------------------------------------------------


async def assign_payment(request: Request, _: Viewer) -> Response:
    """Leads to the form for the share that no invoice has, or else for the first one."""
    async with reading(request) as tx:
        payment_id = await lookup.load_payment_id(tx, request.path_params["intent_id"])
    return redirect(f"/unapplied/{payment_id}")


def _payment_id(request: Request) -> int:
    return id_in_path(request, "payment_id", "InvoicePayment")


async def _share(tx: Tx, payment_id: int) -> ListedPayment:
    found = await load_listed_payments(tx, [payment_id])
    if not found:
        raise NotFound("InvoicePayment", payment_id)
    return found[0]


async def _assign_form(request: Request, tx: Tx) -> ActionForm:
    row = await _share(tx, _payment_id(request))
    amount = shown_amount(row.counted or row.amount, row.currency_iso)
    suggestions = [one for one in await list_suggestions(tx, row.id) if len(one.invoice_ids) == 1]
    numbers = await load_numbers(tx, suggestions)
    asked = request.query_params.get("invoice", "")
    choices = [
        (str(one.invoice_ids[0]), f"{numbers[one.invoice_ids[0]]}: {one.reason}")
        for one in suggestions
    ]
    chosen = asked if asked in dict(choices) else choices[0][0] if choices else "other"
    number = FormField(
        "number",
        _("Another invoice, by its number or id"),
        row.invoicenumber or "",
        kind="optional",
    )
    return ActionForm(
        title=_("Assign %(amount)s", amount=amount.text),
        lede=_(
            "The invoice takes what it owes; the rest stays the client’s credit. "
            "Autopay then charges only what is left."
        ),
        button=_("Assign"),
        leave=_("Leave it where it is"),
        back=f"/payments/{row.intent_id}" if row.intent_id else "/unapplied",
        fields=(
            FormField(
                "invoice",
                _("What is it for?"),
                chosen,
                choices=[
                    *choices,
                    ("other", _("Another invoice, named below")),
                    ("0", _("No invoice")),
                ],
            ),
            number,
            FormField(
                "other_client", _("It is meant for another client’s invoice"), kind="checkbox"
            ),
            REASON,
        ),
        facts=(
            (_("Client"), row.client_name or _("not known")),
            (_("Now"), row.invoicenumber or _("on no invoice")),
        ),
    )


async def _assign(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    payment_id, reason = _payment_id(request), text_given(given, "reason")
    context = ledger_context(request, viewer)

    async def work(tx: Tx) -> int | None:
        invoice_id = await _chosen_invoice(tx, given)
        before = (await _share(tx, payment_id)).invoice_id
        await assignment.assign(
            tx,
            payment_id,
            invoice_id,
            now=context["now"],
            who=context["who"],
            is_other_client=given.get("other_client") == "yes",
        )
        named = [one for one in (before, invoice_id) if one is not None]
        if named:
            await write_notes(tx, named, reason, **context)
        return invoice_id

    invoice_id = await database_of(request).with_retry(work)
    if invoice_id is None:
        return _("It is for no invoice; autopay waits for it no more."), "/unapplied"
    return _("The payment is assigned."), f"/invoices/{invoice_id}"


async def _chosen_invoice(tx: Tx, given: FormData) -> int | None:
    chosen = str(given.get("invoice", "other"))
    if chosen == "0":
        return None
    if chosen.isascii() and chosen.isdigit() and len(chosen) < 19:
        return int(chosen)
    number = text_given(given, "number", 100)
    found = await find_invoices(tx, number)
    if not found:
        raise InvalidField("number", f"no invoice has the number or id {number}")
    if len(found) > 1:
        raise InvalidField("number", f"{len(found)} invoices have it; give the id")
    return found[0]


REFUND = FormAction(_refund_form, _refund)
ASSIGN = FormAction(_assign_form, _assign)
