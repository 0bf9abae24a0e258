"""Actions on an invoice: note, hold, release, charge now, paid by hand, void. Each is the API's."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from starlette.datastructures import FormData
from starlette.requests import Request

from app.console.pages.action_forms import (
    REASON,
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
from app.console.pages.wording import shown_amount
from app.console.routing import Viewer
from app.errors import NotFound
from app.halo.actions import RetryCharge
from app.ledger import audit, invoicing, manual_payments, void_and_delete
from app.rules.home import Home, home_of
from app.storage.engines import Database, Tx


async def _header(request: Request, tx: Tx) -> InvoiceHeader:
    invoice_id = invoice_id_of(request)
    header = await load_invoice_header(tx, invoice_id)
    if header is None:
        raise NotFound("Invoice", invoice_id)
    return header


def _form(header: InvoiceHeader, title: str, lede: str, button: str, **more: Any) -> ActionForm:
    left = shown_amount(header.amountdue, header.currency_iso)
    return ActionForm(
        title=f"{title} {header.name}",
        lede=lede,
        button=button,
        leave=more.pop("leave", "Leave as it is"),
        back=f"/invoices/{header.id}",
        fields=more.pop("fields", (REASON,)),
        facts=(("Left to pay", left.text),),
        **more,
    )


def who(viewer: Viewer) -> str:
    """The name under which the console's acts stand in the history."""
    return viewer.login


async def write_notes(
    tx: Tx, invoice_ids: Sequence[int], text: str, *, now: datetime, who: str, home: Home
) -> None:
    """A note stands in an invoice's history, as one that the API reports does."""
    records = [{"invoice_id": one, "field_name": "note", "new_value": text} for one in invoice_ids]
    await audit.save(tx, records, now=now, who=who, home=home)


# --- note --------------------------------------------------------------------------------------


async def _note_form(request: Request, tx: Tx) -> ActionForm:
    lede = "It stands in the invoice’s history and in the story of its payments."
    fields = (FormField("reason", "Note, such as a promise to pay", kind="textarea"),)
    return _form(await _header(request, tx), "Note on", lede, "Add the note", fields=fields)


async def _add_note(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, text = invoice_id_of(request), text_given(given, "reason")

    async def work(tx: Tx) -> None:
        await write_notes(tx, [invoice_id], text, **ledger_context(request, viewer))

    await _database(request).with_retry(work)
    return "The note is in the history.", f"/invoices/{invoice_id}"


# --- hold and release --------------------------------------------------------------------------


async def _hold_form(request: Request, tx: Tx) -> ActionForm:
    lede = "Autopay does not charge it until somebody lets it again. Nothing else changes."
    return _form(await _header(request, tx), "Hold", lede, "Hold it")


async def _release_form(request: Request, tx: Tx) -> ActionForm:
    lede = "Autopay charges it once it is due. The client’s consent is needed for that."
    return _form(await _header(request, tx), "Let autopay charge", lede, "Let autopay charge it")


async def _hold(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    flags = {"take_auto_payment": False, "include_in_autopay": False}
    return await _flag(request, viewer, given, flags, "It is held: autopay does not charge it.")


async def _release(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    flags = {"take_auto_payment": True}
    return await _flag(request, viewer, given, flags, "Autopay charges it once it is due.")


async def _flag(
    request: Request, viewer: Viewer, given: FormData, flags: dict[str, bool], said: str
) -> tuple[str, str]:
    """A saved invoice, as POST /api/Invoice saves it, with the reason beside it."""
    invoice_id, reason = invoice_id_of(request), text_given(given, "reason")

    async def work(tx: Tx) -> None:
        record = {"id": invoice_id, **flags}
        await invoicing.save(tx, [record], **ledger_context(request, viewer))
        await write_notes(tx, [invoice_id], reason, **ledger_context(request, viewer))

    await _database(request).with_retry(work)
    return said, f"/invoices/{invoice_id}"


# --- charge now --------------------------------------------------------------------------------


async def _retry_form(request: Request, tx: Tx) -> ActionForm:
    header = await _header(request, tx)
    settings = request.app.state.settings
    viewer: Viewer = request.state.viewer
    outlook = await load_outlook(tx, header.id, settings, times_of(request, viewer))
    left = shown_amount(header.amountdue, header.currency_iso)
    lede = (
        f"{left.text} is charged at once, whatever day the last decline names. "
        "Every guard of autopay stands before it: one that says no charges nothing."
    )
    form = _form(header, "Charge", lede, f"Charge {left.text}", leave="Do not charge")
    return form._replace(facts=(*form.facts, ("Autopay says", outlook.reason if outlook else "")))


async def _retry(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, reason = invoice_id_of(request), text_given(given, "reason")
    retry: RetryCharge = request.app.state.retry_charge
    outcome = await retry(invoice_id, reason=reason, who=who(viewer))
    why = f": {outcome['reason']}" if outcome["reason"] else ""
    return f"The invoice is {outcome['outcome']}{why}.", f"/invoices/{invoice_id}"


# --- paid by hand ------------------------------------------------------------------------------


async def _pay_form(request: Request, tx: Tx) -> ActionForm:
    header = await _header(request, tx)
    left = shown_amount(header.amountdue, header.currency_iso)
    fields = (
        FormField("amount", f"Amount in {left.currency}", left.number, kind="amount"),
        FormField("method", "How it was paid", "Bank transfer"),
        FormField("reference", "Reference", hint="As it stands on the bank statement"),
    )
    lede = "Money that came another way than through Stripe. Autopay charges the rest only."
    return _form(header, "Enter a payment of", lede, "Enter the payment", fields=fields)


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
        await manual_payments.save(tx, [record], **ledger_context(request, viewer))

    await _database(request).with_retry(work)
    return f"A payment of {_plain(amount)} is entered.", f"/invoices/{invoice_id}"


def _plain(amount: Decimal) -> str:
    return f"{amount:,f}"


# --- void --------------------------------------------------------------------------------------


async def _void_form(request: Request, tx: Tx) -> ActionForm:
    lede = "A voided invoice stays, owes nothing, and cannot be revived."
    return _form(
        await _header(request, tx), "Void", lede, "Void it", leave="Keep it", is_dangerous=True
    )


async def _void(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    invoice_id, reason = invoice_id_of(request), text_given(given, "reason")

    async def work(tx: Tx) -> None:
        now: datetime = request.app.state.clock()
        await void_and_delete.void(tx, invoice_id, now=now, who=who(viewer))
        await write_notes(tx, [invoice_id], reason, **ledger_context(request, viewer))

    await _database(request).with_retry(work)
    return "The invoice is voided.", f"/invoices/{invoice_id}"


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


class LedgerContext(TypedDict):
    """The arguments that every write of the ledger takes."""

    now: datetime
    who: str
    home: Home


def ledger_context(request: Request, viewer: Viewer) -> LedgerContext:
    state = request.app.state
    return LedgerContext(now=state.clock(), who=who(viewer), home=home_of(state.settings))


NOTE = FormAction(_note_form, _add_note)
HOLD = FormAction(_hold_form, _hold)
RELEASE = FormAction(_release_form, _release)
CHARGE_NOW = FormAction(_retry_form, _retry)
PAY_BY_HAND = FormAction(_pay_form, _pay)
VOID = FormAction(_void_form, _void)
