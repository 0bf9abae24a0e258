"""The console on one page: each path, its page, and the role it is for."""

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute, Route

from app.console.pages import (
    acts_on_clients,
    acts_on_events,
    acts_on_invoices,
    acts_on_payments,
    approvals_page,
    autopay_pages,
    clients_page,
    coming_page,
    credit_page,
    events_page,
    home_page,
    invoice_page,
    invoices_page,
    links_page,
    mails_page,
    money_back_pages,
    pauses_page,
    payment_page,
    payments_page,
    payouts_page,
    promise_page,
    repeated_page,
    replaying_page,
    reports_page,
    rules_page,
    runs_page,
    saved_views,
    search_page,
    unapplied_page,
    watch_pages,
)
from app.console.pages.action_forms import FormPage
from app.console.pages.window_list import WindowList
from app.console.people import (
    account_pages,
    confirm_pages,
    openid_pages,
    passkey_pages,
    people_pages,
    sign_in_pages,
)
from app.console.people.roles import Role
from app.console.routing import ConsoleRoute, PublicRoute, ViewerPage
from app.console.static_files import serve_static


def _read(path: str, page: ViewerPage) -> ConsoleRoute:
    return ConsoleRoute(path, page, Role.VIEWER)


def _weak(path: str, page: ViewerPage, method: str = "GET", *, fresh: bool = False) -> ConsoleRoute:
    """A page on the way to a second factor, and out."""
    return ConsoleRoute(path, page, Role.VIEWER, method, fresh=fresh, single_factor=True)


def _list(one: WindowList[Any]) -> list[ConsoleRoute]:
    """The page of a list, and the same rows as a file."""
    return [_read(one.path, one.show), _read(f"{one.path}.csv", one.export)]


def _act(path: str, action: FormPage, role: Role, *, fresh: bool = False) -> list[ConsoleRoute]:
    """The form of an action, and its button. What moves money asks who it is once more."""
    return [
        ConsoleRoute(path, action.show, role, fresh=fresh),
        ConsoleRoute(path, action.submit, role, "POST", fresh=fresh),
    ]


CONSOLE_ROUTES: Sequence[BaseRoute] = (
    Route("/static/{name}", serve_static, name="console static"),
    PublicRoute("/sign-in", sign_in_pages.show_sign_in),
    PublicRoute("/sign-in", sign_in_pages.sign_in, "POST"),
    PublicRoute("/sign-in/code", sign_in_pages.show_code),
    PublicRoute("/sign-in/code", sign_in_pages.sign_in_by_code, "POST"),
    PublicRoute("/sign-in/link", sign_in_pages.show_link),
    PublicRoute("/sign-in/link", sign_in_pages.follow_link, "POST"),
    PublicRoute("/sign-in/passkey/challenge", passkey_pages.challenge_sign_in, "POST"),
    PublicRoute("/sign-in/passkey", passkey_pages.sign_in_by_passkey, "POST"),
    PublicRoute("/sign-in/openid", openid_pages.go_to_provider),
    PublicRoute("/sign-in/openid/callback", openid_pages.come_back),
    _weak("/sign-out", sign_in_pages.sign_out, "POST"),
    _weak("/confirm-identity", confirm_pages.show_confirm_identity),
    _weak("/confirm-identity", confirm_pages.confirm_identity, "POST"),
    _weak("/confirm-identity/passkey", passkey_pages.confirm_by_passkey, "POST"),
    ConsoleRoute("/account", account_pages.show_account, Role.VIEWER),
    ConsoleRoute("/account", account_pages.change_profile, Role.VIEWER, "POST"),
    ConsoleRoute("/account/sessions", account_pages.change_sessions, Role.VIEWER, "POST"),
    _weak("/account/password", account_pages.show_password, fresh=True),
    _weak("/account/password", account_pages.change_password, "POST", fresh=True),
    _weak("/account/app", account_pages.show_app, fresh=True),
    _weak("/account/app", account_pages.change_app, "POST", fresh=True),
    _weak("/account/passkeys", passkey_pages.show_passkeys, fresh=True),
    _weak("/account/passkeys", passkey_pages.change_passkeys, "POST", fresh=True),
    _weak("/account/passkeys/challenge", passkey_pages.challenge_viewer, "POST"),
    ConsoleRoute("/people", people_pages.show_people, Role.ADMIN, fresh=True),
    ConsoleRoute("/people", people_pages.change_people, Role.ADMIN, "POST", fresh=True),
    _read("/", home_page.home_page),
    _read("/search", search_page.search_page),
    _read("/search/hits", search_page.search_hits),
    *_list(payments_page.PAYMENT_LIST),
    _read("/payments/{intent_id}", payment_page.payment_page),
    *_act("/payments/{intent_id}/refund", acts_on_payments.REFUND, Role.FINANCE, fresh=True),
    ConsoleRoute("/payments/{intent_id}/assign", acts_on_payments.assign_payment, Role.FINANCE),
    *_list(invoices_page.INVOICE_LIST),
    _read("/invoices/{invoice_id}", invoice_page.invoice_page),
    _read("/invoices/{invoice_id}/page.png", invoice_page.invoice_picture),
    _read("/invoices/{invoice_id}/pdf", invoice_page.invoice_document_page),
    *_act("/invoices/{invoice_id}/note", acts_on_invoices.NOTE, Role.SUPPORT),
    *_act("/invoices/{invoice_id}/promise", promise_page.PROMISE, Role.SUPPORT),
    *_act("/invoices/{invoice_id}/hold", acts_on_invoices.HOLD, Role.SUPPORT),
    *_act("/invoices/{invoice_id}/release", acts_on_invoices.RELEASE, Role.SUPPORT),
    *_act("/invoices/{invoice_id}/retry", acts_on_invoices.CHARGE_NOW, Role.FINANCE, fresh=True),
    *_act("/invoices/{invoice_id}/pay", acts_on_invoices.PAY_BY_HAND, Role.FINANCE, fresh=True),
    *_act("/invoices/{invoice_id}/credit", credit_page.CREDIT, Role.FINANCE, fresh=True),
    *_act("/invoices/{invoice_id}/void", acts_on_invoices.VOID, Role.FINANCE, fresh=True),
    ConsoleRoute("/views", saved_views.save_view, Role.VIEWER, "POST"),
    ConsoleRoute("/views/{view_id}/remove", saved_views.remove_view, Role.VIEWER, "POST"),
    _read("/clients", clients_page.clients_page),
    _read("/clients/{client_id}", clients_page.client_page),
    *_act("/clients/{client_id}/pause", acts_on_clients.PAUSE, Role.SUPPORT),
    *_act("/clients/{client_id}/resume", acts_on_clients.RESUME, Role.SUPPORT),
    _read("/unapplied", unapplied_page.unapplied_page),
    *_act("/unapplied/{payment_id}", acts_on_payments.ASSIGN, Role.FINANCE, fresh=True),
    _read("/repeated", repeated_page.repeated_page),
    _read("/coming", coming_page.coming_page),
    _read("/approvals", approvals_page.approvals_page),
    *_act("/approvals/selected", approvals_page.DECIDE_SELECTED, Role.FINANCE, fresh=True),
    *_act("/approvals/{invoice_id}", approvals_page.DECIDE, Role.FINANCE, fresh=True),
    _read("/links", links_page.links_page),
    *_act("/links/{link_id}/revoke", links_page.REVOKE, Role.SUPPORT),
    _read("/mails", mails_page.mails_page),
    ConsoleRoute("/mails/{message_id}", mails_page.mail_page, Role.SUPPORT),
    ConsoleRoute("/mails/{message_id}/body", mails_page.mail_body, Role.SUPPORT),
    *_act("/mails/{message_id}/again", mails_page.SEND_AGAIN, Role.SUPPORT),
    _read("/pauses", pauses_page.pauses_page),
    *_act("/pauses/everything", pauses_page.PAUSE_ALL, Role.SUPPORT),
    *_act("/pauses/{pause_id}/end", pauses_page.END_PAUSE, Role.FINANCE, fresh=True),
    _read("/rules", rules_page.rules_page),
    *_act("/rules/new", rules_page.ADD, Role.FINANCE, fresh=True),
    *_act("/rules/{rule_id}", rules_page.EDIT, Role.FINANCE, fresh=True),
    *_act("/rules/{rule_id}/move", rules_page.MOVE, Role.FINANCE, fresh=True),
    *_act("/rules/{rule_id}/remove", rules_page.REMOVE, Role.FINANCE, fresh=True),
    _read("/runs", runs_page.runs_page),
    _read("/runs/{run_id}", runs_page.run_page),
    _read("/runs/{run_id}/outcomes.csv", runs_page.run_file),
    _read("/attempts", autopay_pages.attempts_page),
    _read("/refunds", money_back_pages.refunds_page),
    _read("/disputes", money_back_pages.disputes_page),
    _read("/payouts", payouts_page.payouts_page),
    _read("/payouts/{payout_id}", payouts_page.payout_page),
    _read("/reports", reports_page.reports_page),
    _read("/inbox", events_page.inbox_page),
    *_act("/inbox/replay", acts_on_events.REPLAY_CAUSE, Role.SUPPORT),
    _read("/inbox/replaying/{at}/{of}", replaying_page.replaying_page),
    _read("/events", events_page.events_page),
    _read("/events/{event_id}", events_page.event_page),
    _read("/events/{event_id}/payload", events_page.event_payload),
    *_act("/events/{event_id}/replay", acts_on_events.REPLAY_ONE, Role.SUPPORT),
    _read("/health", watch_pages.health_page),
    _read("/audit", watch_pages.audit_page),
)
