"""Actions on an invoice: note, hold, release, charge now, paid by hand, void. Each is the API's."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.language import N_, _, decimal_text
from app.console.pages.action_forms import (
    REASON,
    SEEN,
    ActionForm,
    FormAction,
    FormField,
    amount_given,
    text_given,
)
from app.console.pages.autopay_outlook import load_outlook
from app.console.pages.chrome import times_of
from app.console.pages.invoice_page import invoice_id_of
from app.console.pages.invoices_reads import InvoiceHeader, load_invoice_header
from app.console.pages.ledger_acts import database_of, ledger_context, who, write_notes
from app.console.pages.wording import shown_amount
from app.console.routing import Viewer
from app.errors import NotFound, Refused
from app.halo.actions import RetryCharge
from app.ledger import balances, invoicing, manual_payments, void_and_delete
from app.ledger.assignment import must_exist
from app.storage.engines import Tx


async def _header(request: Request, tx: Tx) -> InvoiceHeader:
    invoice_id = invoice_id_of(request)
    header = await load_invoice_header(tx, invoice_id)
    if header is None:
        raise NotFound("Invoice", invoice_id)
    return header


def _form(header: InvoiceHeader, title: str, lede: str, button: str, **more: Any) -> ActionForm:
    left = shown_amount(header.amountdue, header.currency_iso)
    return ActionForm(
        title=_(title, invoice=header.name),
        lede=lede,
        button=button,
        leave=more.pop("leave", "Leave as it is"),
        back=f"/invoices/{header.id}",
        fields=more.pop("fields", (REASON,)),
        facts=((_("Left to pay"), left.text),),
        **more,
    )


# --- note --------------------------------------------------------------------------------------


async def _note_form(request: Request, tx: Tx) -> ActionForm:
    lede = _("It stands in the invoice’s history and in the story of its payments.")
    fields = (FormField("reason", _("Note, such as a promise to pay"), kind="textarea"),)
    return _form(
        await _header(request, tx),
        N_("Note on %(invoice)s"),
        lede,
        _("Add the note"),
        fields=fields,
    )


async def _add_note(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, text = invoice_id_of(request), text_given(given, "reason")

    async def work(tx: Tx) -> None:
        await write_notes(tx, [invoice_id], text, **ledger_context(request, viewer))

    await database_of(request).with_retry(work)
    return _("The note is in the history."), f"/invoices/{invoice_id}"


# --- hold and release --------------------------------------------------------------------------


def _autopay_flag(
    *, title: str, lede: str, button: str, said: str, flags: dict[str, bool]
) -> FormAction:
    """An action that lets autopay charge an invoice, or not."""

    async def load_form(request: Request, tx: Tx) -> ActionForm:
        return _form(await _header(request, tx), title, lede, button)

    async def act(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
        invoice_id = invoice_id_of(request)
        await _set_flags(request, viewer, given, invoice_id, flags)
        return said, f"/invoices/{invoice_id}"

    return FormAction(load_form, act)


async def _set_flags(
    request: Request, viewer: Viewer, given: FormData, invoice_id: int, flags: dict[str, bool]
) -> None:
    """A saved invoice, as POST /api/Invoice saves it, with the reason beside it."""
    reason = text_given(given, "reason")
    context = ledger_context(request, viewer)

    async def work(tx: Tx) -> None:
        await invoicing.save(tx, [{"id": invoice_id, **flags}], **context)
        await write_notes(tx, [invoice_id], reason, **context)

    await database_of(request).with_retry(work)


# --- charge now --------------------------------------------------------------------------------


async def _retry_form(request: Request, tx: Tx) -> ActionForm:
    header = await _header(request, tx)
    settings = request.app.state.settings
    viewer: Viewer = request.state.viewer
    outlook = await load_outlook(tx, header.id, settings, times_of(request, viewer))
    left = shown_amount(header.amountdue, header.currency_iso)
    lede = _(
        "%(left)s is charged at once, whatever day the last decline names. Every "
        "guard of autopay stands before it: one that says no charges nothing.",
        left=left.text,
    )
    form = _form(
        header,
        N_("Charge %(invoice)s"),
        lede,
        _("Charge %(left)s", left=left.text),
        leave=_("Do not charge"),
    )
    return form._replace(
        facts=(*form.facts, (_("Autopay says"), outlook.reason if outlook else ""))
    )


async def _retry(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, reason = invoice_id_of(request), text_given(given, "reason")
    retry: RetryCharge = request.app.state.retry_charge
    outcome = await retry(invoice_id, reason=reason, who=who(viewer))
    why = f": {outcome['reason']}" if outcome["reason"] else ""
    return _(
        "The invoice is %(outcome)s%(why)s.", outcome=outcome["outcome"], why=why
    ), f"/invoices/{invoice_id}"


# --- paid by hand ------------------------------------------------------------------------------


async def _pay_form(request: Request, tx: Tx) -> ActionForm:
    header = await _header(request, tx)
    left = shown_amount(header.amountdue, header.currency_iso)
    fields = (
        FormField(
            "amount",
            _("Amount in %(currency)s", currency=left.currency),
            left.number,
            kind="amount",
        ),
        FormField("method", _("How it was paid"), _("Bank transfer")),
        FormField("reference", _("Reference"), hint=_("As it stands on the bank statement")),
        FormField(SEEN, "", left.number, kind="hidden"),
    )
    lede = _("Money that came another way than through Stripe. Autopay charges the rest only.")
    return _form(
        header, N_("Enter a payment of %(invoice)s"), lede, _("Enter the payment"), fields=fields
    )


async def _pay(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, amount = invoice_id_of(request), amount_given(given)
    now: datetime = request.app.state.clock()
    record = {
        "invoice_id": invoice_id,
        "amount": amount,
        "date": now,
        "payment_method_name": text_given(given, "method", 100),
        "reference": text_given(given, "reference", 200),
    }

    async def work(tx: Tx) -> None:
        await _assert_owes_as_seen(tx, invoice_id, given)
        await manual_payments.save(tx, [record], **ledger_context(request, viewer))

    await database_of(request).with_retry(work)
    return _(
        "A payment of %(amount)s is entered.", amount=_plain(amount)
    ), f"/invoices/{invoice_id}"


async def _assert_owes_as_seen(tx: Tx, invoice_id: int, given: FormData) -> None:
    """A form that is sent twice, by two people or from an old page enters no money twice."""
    invoice = must_exist(await balances.lock_invoices(tx, [invoice_id]), invoice_id)
    left = shown_amount(balances.amount_due(invoice), invoice.currency_iso)
    if given.get(SEEN) != left.number:
        raise Refused(f"{left.text} is left to pay now, not as this page said: nothing was entered")


def _plain(amount: Decimal) -> str:
    return decimal_text(f"{amount:f}")


# --- void --------------------------------------------------------------------------------------


async def _void_form(request: Request, tx: Tx) -> ActionForm:
    lede = _("A voided invoice stays, owes nothing, and cannot be revived.")
    return _form(
        await _header(request, tx),
        N_("Void %(invoice)s"),
        lede,
        _("Void it"),
        leave=_("Keep it"),
        is_dangerous=True,
    )


async def _void(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, reason = invoice_id_of(request), text_given(given, "reason")

    async def work(tx: Tx) -> None:
        now: datetime = request.app.state.clock()
        await void_and_delete.void(tx, invoice_id, now=now, who=who(viewer))
        await write_notes(tx, [invoice_id], reason, **ledger_context(request, viewer))

    await database_of(request).with_retry(work)
    return _("The invoice is voided."), f"/invoices/{invoice_id}"


NOTE = FormAction(_note_form, _add_note)
HOLD = _autopay_flag(
    title=N_("Hold %(invoice)s"),
    lede=N_("Autopay does not charge it until somebody lets it again. Nothing else changes."),
    button=N_("Hold it"),
    said=N_("It is held: autopay does not charge it."),
    flags={"take_auto_payment": False, "include_in_autopay": False},
)
RELEASE = _autopay_flag(
    title=N_("Let autopay charge %(invoice)s"),
    lede=N_("Autopay charges it once it is due. The client’s consent is needed for that."),
    button=N_("Let autopay charge it"),
    said=N_("Autopay charges it once it is due."),
    flags={"take_auto_payment": True},
)
CHARGE_NOW = FormAction(_retry_form, _retry)
PAY_BY_HAND = FormAction(_pay_form, _pay)
VOID = FormAction(_void_form, _void)
