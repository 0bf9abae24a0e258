"""A rule of autopay in words: which invoices, what then, when and by what."""

from decimal import Decimal
from typing import Any

from app.console.language import N_, LazyText, _, decimal_text
from app.console.pages.wording import ShownState, Tone
from app.ledger.autopay_policy import RuleRow
from app.ledger.rule_preview import RuleMove
from app.rules import money
from app.rules.autopay_rule import DayBase, MethodChoice, RuleAction, RuleConditions

ACTIONS = (
    (RuleAction.CHARGE, N_("it is charged")),
    (RuleAction.ASK, N_("a person is asked first")),
    (RuleAction.NEVER, N_("it is never charged")),
)
DAYS = ((DayBase.DUE, N_("the due date")), (DayBase.INVOICE, N_("the invoice’s date")))
METHODS = (
    (MethodChoice.CLIENT, N_("the client’s own, or the default at Stripe")),
    (MethodChoice.BANK, N_("a bank debit saved at Stripe, else the client’s")),
    (MethodChoice.NAMED, N_("the one named below")),
)
TOGETHER = (
    ("", N_("together or not, as the client wishes")),
    ("yes", N_("are charged together")),
    ("no", N_("are charged one by one")),
)
# Conditions but those on amounts: each with its label and an example.
CONDITIONS: dict[str, tuple[LazyText, str]] = {
    "client_id": (N_("Client, by id"), ""),
    "toplevel_id": (N_("Part of the client, by id"), ""),
    "contract_id": (N_("Agreement, by id"), ""),
    "recurring_invoice_id": (N_("Template, by id"), ""),
    "sitenumber": (N_("Site, by number"), ""),
    "billingcategory": (N_("Billing category"), ""),
    "currency": (N_("Currency"), "EUR"),
    "order_number": (N_("Order number"), "PO-*"),
    "item_code": (N_("Item code of a line"), "SUPPORT-*"),
    "property_name": (N_("Property"), "paymentterms"),
    "property_value": (N_("The property’s value"), "30"),
    "age_from": (N_("Days old at least"), "10"),
    "age_to": (N_("Days old at most"), "60"),
}
_AMOUNT_LABELS = {"amount_from": N_("Due at least"), "amount_to": N_("Due at most")}
_STATES = {
    RuleAction.CHARGE: ShownState(Tone.GO, "cal", N_("Charge")),
    RuleAction.ASK: ShownState(Tone.WAIT, "user", N_("Ask a person")),
    RuleAction.NEVER: ShownState(Tone.NONE, "no", N_("Never charge")),
}
MOVES = {
    RuleMove.IN: ShownState(Tone.GO, "cal", N_("Charged from now on")),
    RuleMove.OUT: ShownState(Tone.NONE, "no", N_("Charged no longer")),
    RuleMove.ASK: ShownState(Tone.WAIT, "user", N_("Held for an approval")),
    RuleMove.DAY: ShownState(Tone.GO, "clock", N_("Charged on another day")),
}


def rule_state(row: RuleRow) -> ShownState:
    state = _STATES[RuleAction(row.action)]
    return state._replace(tone=Tone.NONE, why=_("Not in use")) if row.inactive else state


def condition_text(row: RuleRow) -> str:
    """`Client, by id: 7, Due at least: 1,000.00`"""
    labels = {name: label for name, (label, _hint) in CONDITIONS.items()} | _AMOUNT_LABELS
    given = [
        f"{labels[name]}: {_plain(getattr(row, name))}"
        for name in RuleConditions.__dataclass_fields__
        if getattr(row, name) is not None
    ]
    if row.unflagged:
        given.append(_("flagged or not"))
    return ", ".join(given) or _("Any invoice")


def day_text_of(row: RuleRow) -> str:
    """`3 days after the due date, then mon,thu`"""
    parts = [str(dict(DAYS)[DayBase(row.day_from)])]
    if row.days:
        signed = f"{row.days:+d}"
        parts.append(_("%(days)s days", days=signed))
    if row.day_of_month:
        parts.append(_("the %(day)s of a month", day=row.day_of_month))
    if row.weekdays:
        parts.append(row.weekdays)
    if row.move_days:
        parts.append(_("%(way)s off closed days %(region)s", way=row.move_days,
                       region=row.holidays or "").strip())  # fmt: skip
    return ", ".join(parts)


def method_text(row: RuleRow) -> str:
    named = row.payment_method_id
    text = named or str(dict(METHODS)[MethodChoice(row.charge_method)])
    if row.card_max is None:
        return text
    return _("%(method)s; cards up to %(amount)s", method=text, amount=_plain(row.card_max))


def _plain(value: Any) -> str:
    return decimal_text(money.plain(value)) if isinstance(value, Decimal) else str(value)
