"""Payment links: a public URL that anybody may pay, any number of times."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import charge_amounts, checkout_api, cursor_pagination, line_items
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_COPIED = "payment_intent_data customer_creation payment_method_types submit_type".split()


def create(state: AccountState, params: Obj) -> Obj:
    currency, total = line_items.total(params.get("line_items"))
    charge_amounts.validate(total, currency)
    new_id = state.ids.new("plink")
    fields: Obj = {name: params[name] for name in _COPIED if name in params}
    fields |= {"currency": currency, "metadata": merge_metadata({}, params.get("metadata"))}
    link = state.add(object_templates.payment_link(new_id, fields))
    state.link_totals[new_id] = total
    state.ledger.record_maker(new_id, state.cause.api_key)
    state.emit("payment_link.created", link)
    return link


def retrieve(state: AccountState, params: Obj, link_id: str) -> Obj:
    return state.find("payment_links", link_id)


def update(state: AccountState, params: Obj, link_id: str) -> Obj:
    link = state.find("payment_links", link_id)
    changes: Obj = {"metadata": merge_metadata(link["metadata"], params.get("metadata"))}
    if "active" in params:
        changes["active"] = params["active"]
    previous = {name: link[name] for name in changes if link[name] != changes[name]}
    link = state.change(link, **changes)
    if previous:
        state.emit("payment_link.updated", link, previous)
    return link


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "payment_links", params, "/v1/payment_links", "active"
    )


def visit(state: AccountState, link_id: str, client_reference_id: str | None) -> Obj:
    """A visitor opens the page: the session carries the link's metadata and the URL's reference."""
    link = state.find("payment_links", link_id)
    if not link["active"]:
        raise stripe_errors.invalid(f"The payment link {link_id} is no longer active.")
    total = state.link_totals[link_id]
    fields = {
        "amount_subtotal": total,
        "amount_total": total,
        "client_reference_id": client_reference_id,
        "currency": link["currency"],
        "customer_creation": link["customer_creation"],
        "metadata": link["metadata"],
        "payment_link": link_id,
    }
    session = checkout_api.open_session(state, fields, link["payment_intent_data"] or {})
    state.ledger.record_maker(session["id"], state.ledger.maker(link_id))
    return session
