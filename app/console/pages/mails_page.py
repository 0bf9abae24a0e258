"""GET /mails and /mails/{id}: what was written to whom, as it was sent, and what was not sent."""

from collections.abc import Mapping, Sequence

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.console.language import N_, _
from app.console.pages.action_forms import ActionForm, FormAction
from app.console.pages.cells import ListCell, ListColumn, ListSection, opening, state_of
from app.console.pages.chrome import id_in_path, reading, show, times_of
from app.console.pages.ledger_acts import database_of
from app.console.pages.list_view import ListView, show_list
from app.console.pages.listing import FilterField, filter_values, tabs
from app.console.pages.wording import ShownState, Tone, ViewerTime
from app.console.routing import CONSOLE_POLICY, Viewer
from app.errors import NotFound, Refused
from app.ledger import outbox
from app.mail import outbox_queries
from app.mail.outbox_queries import ListedMessage
from app.storage.engines import Tx
from app.storage.tables.outbox_messages import OutboxChannel, OutboxState

_PATH = "/mails"
# Mails that the page shows; `paydue mail list` and the API have more.
SHOWN_MAX = 100
_COLUMNS = (
    ListColumn(N_("Subject"), "name"),
    ListColumn(N_("State"), "state"),
    ListColumn(N_("To"), "name"),
    ListColumn(N_("Invoice"), "low", is_minor=True),
    ListColumn(N_("When"), "when", is_order=True),
)
_STATES: Mapping[str, ShownState] = {
    OutboxState.QUEUED: ShownState(Tone.GO, "clock", N_("Waits")),
    OutboxState.SENDING: ShownState(Tone.GO, "clock", N_("On its way")),
    OutboxState.SENT: ShownState(Tone.GOOD, "check", N_("Sent")),
    OutboxState.UNKNOWN: ShownState(Tone.WAIT, "warn", N_("May have been sent")),
    OutboxState.FAILED: ShownState(Tone.BAD, "no", N_("Not sent")),
    OutboxState.SKIPPED: ShownState(Tone.NONE, "no", N_("Left out")),
}
# The names of kinds, as `paydue mail kinds` lists them.
_KINDS: Mapping[str, str] = {
    "coming_charge": N_("Coming charge"),
    "receipt": N_("Receipt"),
    "declined": N_("Declined"),
    "action_needed": N_("Action needed"),
    "debit_returned": N_("Debit returned"),
    "reminder": N_("Reminder"),
    "statement": N_("Statement"),
    "card_expiring": N_("Card expires"),
    "dispute": N_("Dispute"),
    "alert": N_("Alert"),
}
_SHOWN_STATES = (
    ("", N_("All")),
    (OutboxState.QUEUED, N_("Waiting")),
    (OutboxState.FAILED, N_("Not sent")),
    (OutboxState.UNKNOWN, N_("May have been sent")),
    (OutboxState.SENT, N_("Sent")),
)
_FIELDS = (
    FilterField("state", N_("State"), tuple((str(key), text) for key, text in _SHOWN_STATES[1:])),
)
_VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = tuple(
    (text, {"state": str(key)} if key else {}) for key, text in _SHOWN_STATES
)
_AGAIN = (OutboxState.FAILED, OutboxState.SKIPPED, OutboxState.UNKNOWN)
# The mail may show itself and its own styles, and do and load nothing, in a frame of ours alone.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'; sandbox"
)


async def mails_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    values = filter_values(request.query_params, _FIELDS)
    async with reading(request) as tx:
        found = await outbox_queries.list_messages(
            tx, state=values.get("state", ""), limit=SHOWN_MAX
        )
        rows = [_cells(one, times) for one in found if one.channel == OutboxChannel.MAIL]
        view = ListView(
            title=_("Mail"),
            lede=_("What was written to clients and to finance, the newest first."),
            views=tabs(_PATH, _VIEWS, values),
            sections=[
                ListSection(
                    _("Mail"), _COLUMNS, rows,
                    _("No mail is like that") if values else _("Nothing was mailed yet"),
                    empty_hint=_("Kinds of mail are off until paydue mail on switches them on."),
                )
            ],
        )  # fmt: skip
        return await show_list(request, viewer, tx, view)


def _cells(one: ListedMessage, times: ViewerTime) -> list[ListCell]:
    at = one.sent_at or one.created_at
    invoice = (
        ListCell(str(one.invoice_id), f"/invoices/{one.invoice_id}")
        if one.invoice_id
        else ListCell()
    )
    return [
        opening(
            one.subject or kind_of(one), f"{_PATH}/{one.id}", kind_of(one) if one.subject else ""
        ),
        state_of(_state(one)),
        ListCell(one.recipient or ""),
        invoice,
        ListCell(times.short(at), title=times.full(at)),
    ]


def kind_of(one: ListedMessage) -> str:
    """The kind's name in the page's language."""
    return _(_KINDS[one.kind]) if one.kind in _KINDS else one.kind


def _state(one: ListedMessage) -> ShownState:
    return _STATES[one.state]._replace(why=one.error)


# --- one mail ----------------------------------------------------------------------------------


async def mail_page(request: Request, viewer: Viewer) -> Response:
    times = times_of(request, viewer)
    async with reading(request) as tx:
        one, texts = await outbox_queries.load_message(tx, _message_id(request))
        may_send = one.state in _AGAIN and viewer.role.includes("support")
        response = await show(
            request, viewer, tx, "mail.html",
            mail=one,
            title=one.subject or kind_of(one),
            kind=kind_of(one),
            state=_state(one)._replace(why=None),
            sentence=_sentence(one, times),
            text=texts.text_body,
            has_html=bool(texts.html_body),
            may_send=may_send,
        )  # fmt: skip
    response.headers["Content-Security-Policy"] = f"{CONSOLE_POLICY}; frame-src 'self'"
    return response


def _sentence(one: ListedMessage, times: ViewerTime) -> str:
    """One sentence: what became of it, and what happens next."""
    match one.state:
        case OutboxState.SENT if one.sent_at is not None:
            return _("Sent on %(when)s.", when=times.full(one.sent_at))
        case OutboxState.QUEUED if one.error:
            return _(
                "Not sent yet: %(why)s. Tried again on %(when)s.",
                why=one.error, when=times.full(one.next_try_at),
            )  # fmt: skip
        case OutboxState.QUEUED | OutboxState.SENDING:
            return _("The worker sends it within seconds.")
        case OutboxState.UNKNOWN:
            return _(
                "It may have been sent, and is not sent again by itself: %(why)s.", why=one.error
            )
        case _:
            return _("It was not sent: %(why)s.", why=one.error or _("no reason is kept"))


async def mail_body(request: Request, viewer: Viewer) -> Response:
    """The HTML as it was sent, for the frame of its page."""
    async with reading(request) as tx:
        _found, texts = await outbox_queries.load_message(tx, _message_id(request))
    if not texts.html_body:
        raise NotFound("HTML of message", _message_id(request))
    return HTMLResponse(texts.html_body, headers={"Content-Security-Policy": _MAIL_POLICY})


def _message_id(request: Request) -> int:
    return id_in_path(request, "message_id", "message")


async def _again_form(request: Request, tx: Tx) -> ActionForm:
    one, _texts = await outbox_queries.load_message(tx, _message_id(request))
    if one.state not in _AGAIN:
        raise Refused(f"message {one.id} is {one.state}; it is not sent again")
    is_unknown = one.state == OutboxState.UNKNOWN
    return ActionForm(
        title=_("Send again: %(subject)s", subject=one.subject or kind_of(one)),
        lede=_("Ask first whether it has come: it may come twice.")
        if is_unknown
        else _("It was not sent. The worker makes it anew, with what is owed now, and sends it."),
        button=_("Send it again"),
        leave=_("Leave it"),
        back=f"{_PATH}/{one.id}",
        fields=(),
        facts=_again_facts(one),
        is_dangerous=is_unknown,
    )


def _again_facts(one: ListedMessage) -> Sequence[tuple[str, str]]:
    known = ((_("To"), one.recipient), (_("Reason"), one.error))
    return tuple((name, value) for name, value in known if value)


async def _send_again(request: Request, viewer: Viewer, given: FormData) -> tuple[str, str]:
    message_id = _message_id(request)

    async def work(tx: Tx) -> None:
        await outbox.retry(tx, message_id, now=request.app.state.clock())

    await database_of(request).with_retry(work)
    return _("The worker sends it within seconds."), f"{_PATH}/{message_id}"


SEND_AGAIN = FormAction(_again_form, _send_again)
