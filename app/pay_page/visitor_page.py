"""GET and POST /pay/{token}: what a link's holder owes, and the way to Stripe's page.

Nobody signs in. The token is the right to see and to pay; an unknown, an expired and a revoked one
are answered alike.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.console.rendering import static_url
from app.control_characters import escape_controls
from app.documents.document_folder import BrokenDocumentFolder, load_document_folder
from app.errors import AppError, NotFound, Unavailable
from app.halo.access.authenticator import RateLimited, RequestLimiter
from app.halo.access.own_address import own_address
from app.halo.engine import request_body
from app.ledger.pay_links import StoredPayLink, find_link
from app.pay_page.words import Words, words_for
from app.payments.checkout.link_checkout import NotOpened, Opened
from app.payments.checkout.owed_invoices import Owed, PayState, load_owed
from app.settings import Settings
from app.storage.engines import Database

log = structlog.get_logger("paydue.pay_links")

# Requests a minute. A page is read often by those who wait for it to change; each button asks
# Stripe several times. Unknown links share one limit, so that guessing costs nobody else anything.
READS, BUTTONS, UNKNOWN = 60, 12, 300
OBJECTIONS = 30
# A form has one field.
_FORM_MAX = 4096
_NO_LINK = 0


class OpenCheckout(Protocol):
    """Opens the Checkout Session of a link, or answers what is waited for."""

    async def __call__(
        self, link: StoredPayLink, currency: str, page_url: str
    ) -> Opened | NotOpened: ...


class OpenPortal(Protocol):
    """Answers the address of Stripe's page for a customer's payment methods."""

    async def __call__(self, customer_id: str, return_url: str) -> str: ...


class PayPageLimits:
    """The rate limits of the pages of links, each link by itself."""

    def __init__(self) -> None:
        self.reads = RequestLimiter(READS)
        self.buttons = RequestLimiter(BUTTONS)
        self.unknown = RequestLimiter(UNKNOWN)
        self.objections = RequestLimiter(OBJECTIONS)


class _Row(NamedTuple):
    """An invoice as the page shows it."""

    number: str
    due_on: str
    amount: str
    state: str
    is_due: bool


class _Button(NamedTuple):
    currency: str
    text: str


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=lambda value: escape_controls(value) if type(value) is str else value,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.globals["static_url"] = static_url
PublicPage = Callable[[Request, Words], Awaitable[Response]]


def public_page(page: PublicPage) -> Callable[[Request], Awaitable[Response]]:
    """The page with its headers; a refusal in the visitor's language."""

    async def answered(request: Request) -> Response:
        words = words_for(request.headers.get("accept-language", ""))
        try:
            response = await page(request, words)
        except NotFound:
            response = _notice(words, words["unknown_title"], words["unknown"], 404)
        except RateLimited as error:
            response = _notice(words, words["title"], words["too_many"], 429)
            response.headers["Retry-After"] = str(error.retry_after_s)
        except Unavailable as error:
            log.warning("pay page unavailable", why=error.message)
            response = _notice(words, words["title"], words["unavailable"], 503)
        except AppError as error:
            response = _notice(words, words["title"], words["unavailable"], error.status)
        response.headers.update(_headers(request))
        return response

    return answered


def _headers(request: Request) -> dict[str, str]:
    settings: Settings = request.app.state.settings
    # The button leads to Stripe, whose page may have a domain of the seller's own.
    is_https = settings.stripe_api_base.startswith("https://")
    target = "https:" if is_https else "https: http:"
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        f"form-action 'self' {target}; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
    }


async def show_page(request: Request, words: Words) -> Response:
    """Show all that is owed, with a button for each currency. Stripe is not asked."""
    link = await _link(request)
    limits_of(request).reads.take(link.id, now_of(request))
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        owed = await load_owed(tx, link)
    notice = words["thanks"] if "paid" in request.query_params else None
    return _page(request, words, link, owed, notice=notice)


async def pay(request: Request, words: Words) -> Response:
    """Go on to Stripe's page, or say what is waited for."""
    link = await _link(request)
    limits_of(request).buttons.take(link.id, now_of(request))
    currency = (await _form(request)).get("currency", "")
    open_checkout: OpenCheckout = request.app.state.open_checkout
    found = await open_checkout(link, currency, page_url(request))
    if isinstance(found, Opened):
        return RedirectResponse(found.url, 303)
    return _page(request, words, link, found.owed, notice=words["not_now"], status=409)


async def go_to_portal(request: Request, words: Words) -> Response:
    """Go on to Stripe's page for the client's payment methods, where the link allows it."""
    link = await _link(request)
    limits_of(request).buttons.take(link.id, now_of(request))
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        owed = await load_owed(tx, link)
    if not link.allows_portal or owed.customer_id is None:
        raise NotFound("link", "portal")
    open_portal: OpenPortal = request.app.state.open_portal
    back = page_url(request)
    return RedirectResponse(await open_portal(owed.customer_id, back), 303)


def page_url(request: Request) -> str:
    """The address of the link's own page, as its visitor may come back to it."""
    return f"{own_address(request)}{_path(request)}"


def _path(request: Request) -> str:
    return f"/pay/{request.path_params['token']}"


async def _link(request: Request) -> StoredPayLink:
    """The link, or NotFound, whatever the reason."""
    database: Database = request.app.state.database
    now = now_of(request)
    async with database.snapshot() as tx:
        link = await find_link(tx, request.path_params["token"], now)
    if link is None:
        limits_of(request).unknown.take(_NO_LINK, now)
        raise NotFound("link", "unknown")
    return link


async def _form(request: Request) -> dict[str, str]:
    body = await request_body.read(request, _FORM_MAX)
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=10))
    except ValueError:
        return {}


def _page(
    request: Request,
    words: Words,
    link: StoredPayLink,
    owed: Owed,
    *,
    notice: str | None,
    status: int = 200,
) -> HTMLResponse:
    language = words.language
    rows = [
        _Row(
            one.number,
            language.short_day(one.due_on) if one.due_on else "",
            language.money(max(one.amount, Decimal(0)), one.currency),
            words.state(one.state),
            one.state == PayState.DUE,
        )
        for one in owed.invoices
    ]
    buttons = []
    for currency in owed.currencies():
        total = sum((one.amount for one in owed.due(currency)), Decimal(0))
        text = words["pay"].format(amount=language.money(total, currency))
        buttons.append(_Button(currency, text))
    has_portal = link.allows_portal and owed.customer_id is not None
    values = {
        "seller": seller_name(request.app.state.settings),
        "client": words["for"].format(name=owed.client_name) if owed.client_name else None,
        "rows": rows, "buttons": buttons, "has_more": owed.has_more, "path": _path(request),
        "notice": notice, "has_portal": has_portal,
    }  # fmt: skip
    return render_page(words, "pay.html", status, **values)


def _notice(words: Words, title: str, text: str, status: int) -> HTMLResponse:
    return render_page(words, "notice.html", status, title=title, text=text)


def render_page(words: Words, template: str, status: int, **values: Any) -> HTMLResponse:
    html = _ENVIRONMENT.get_template(template).render(values, words=words, code=words.language.code)
    return HTMLResponse(html, status)


def seller_name(settings: Settings) -> str:
    try:
        return load_document_folder(settings.documents_folder).seller.name
    except BrokenDocumentFolder as error:
        log.warning("no seller's name", why=error.message)
        return ""


def limits_of(request: Request) -> PayPageLimits:
    limits: PayPageLimits = request.app.state.pay_page_limits
    return limits


def now_of(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now


PAY_ROUTES: tuple[BaseRoute, ...] = (
    Route("/pay/{token}", public_page(show_page), methods=["GET"], name="pay page"),
    Route("/pay/{token}", public_page(pay), methods=["POST"], name="pay"),
    Route("/pay/{token}/portal", public_page(go_to_portal), methods=["POST"], name="pay portal"),
)
