"""GET, POST and DELETE /AutopayRule: whether and when invoices are charged. Not HaloPSA's."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from app.errors import InvalidField
from app.halo.engine import json_schema
from app.halo.engine.filters import Equals
from app.halo.engine.parsing import Parser, reference, short_text, stripe_id
from app.halo.engine.resource import ALL_VERBS, Field, Listing, Resource
from app.halo.resources.shared_fields import DATE_CREATED, ID, LAST_MODIFIED
from app.rules import money
from app.rules.autopay_rule import (
    WEEKDAYS,
    DayBase,
    MethodChoice,
    RuleAction,
    weekdays_of,
)
from app.rules.bank_holidays import DayMove, holidays_of
from app.storage.tables.autopay_policies import AutopayRule


def word_of(allowed: type[StrEnum]) -> Parser:
    """A parser of one of a few words, in any case."""
    words = [str(one) for one in allowed]

    def parse(name: str, value: Any) -> str | None:
        given = (short_text(name, value) or "").strip().lower()
        if given and given not in words:
            raise InvalidField(name, f"is none of {', '.join(words)}")
        return given or None

    return parse


def word_field(about: str, allowed: type[StrEnum], *, optional: bool = False) -> Field:
    words: Iterable[str | None] = [str(one) for one in allowed]
    enum = [*words, None] if optional else list(words)
    return Field(about, word_of(allowed), schema={**json_schema.TEXT, "enum": enum})


def currency(name: str, value: Any) -> str | None:
    given = short_text(name, value)
    return money.currency_code(given, name) if given else None


def _weekdays(name: str, value: Any) -> str | None:
    numbers = sorted(weekdays_of(short_text(name, value), name))
    return ",".join(WEEKDAYS[one] for one in numbers) or None


def _holidays(name: str, value: Any) -> str | None:
    given = (short_text(name, value) or "").strip().upper()
    if given:
        holidays_of(given, name)
    return given or None


_WEEKDAY = "|".join(WEEKDAYS)
_WEEKDAYS = {**json_schema.TEXT, "pattern": f"^(({_WEEKDAY})(,({_WEEKDAY}))*)?$"}
# A region that the library knows; the parser asks it.
_REGION = {**json_schema.TEXT, "enum": ["DE", "GB", "US", "FR", "NL", "ES", "BE", "AU", "CA", None]}
CURRENCY = {**json_schema.TEXT, "enum": ["usd", "eur", "gbp", None]}

AUTOPAY_RULES = Resource(
    path="AutopayRule",
    table=AutopayRule,
    verbs=ALL_VERBS,
    group="autopay",
    fields={
        "id": ID,
        "name": Field("The rule's name, which every decision of it names. Required.", short_text),
        "sequence": Field(
            "The rule's place, from 1 on: the first rule that an invoice meets decides. Without "
            "one, or with 0, it comes last."
        ),
        "inactive": Field("Whether the rule is not used now."),
        "action": word_field(
            "`charge`, `never`, or `ask`: the invoice waits until a person approves it.",
            RuleAction,
        ),
        "unflagged": Field(
            "Whether the rule takes invoices too that have neither `take_auto_payment` nor "
            "`include_in_autopay`."
        ),
        "client_id": Field("Only invoices of this client.", reference),
        "toplevel_id": Field("Only invoices of clients that are part of this one.", reference),
        "contract_id": Field("Only invoices of this agreement.", reference),
        "recurring_invoice_id": Field("Only invoices of this template.", reference),
        "sitenumber": Field("Only invoices of this site.", reference),
        "billingcategory": Field("Only invoices of this billing category."),
        "currency": Field(
            "Only invoices in this currency, an ISO code.", currency, schema=CURRENCY
        ),
        "order_number": Field(
            "Only invoices with this order number, in any case; `PO-*` is all that begin so.",
            short_text,
        ),
        "item_code": Field(
            "Only invoices that have a line with this `item_code`, in any case; it may end in `*`.",
            short_text,
        ),
        "property_name": Field(
            "The name of a custom field, or of a property that Paydue keeps such as "
            "`paymentterms`.",
            short_text,
        ),
        "property_value": Field(
            "Only invoices whose custom field or property is this, in any case.", short_text
        ),
        "age_from": Field("Only invoices whose date is so many days ago at least."),
        "age_to": Field("Only invoices whose date is so many days ago at most."),
        "amount_from": Field("Only invoices on which so much is due at least."),
        "amount_to": Field("Only invoices on which so much is due at most."),
        "day_from": word_field("The day that is counted from: `due` or `invoice`.", DayBase),
        "days": Field("So many days after that day is charged; less than 0 is before it."),
        "day_of_month": Field("Then the next such day of a month; 31 is the last."),
        "weekdays": Field(
            "Then the next of these weekdays, such as `mon,thu`.", _weekdays, schema=_WEEKDAYS
        ),
        "move_days": word_field(
            "`forward` or `back`: where a charge goes that falls on a weekend or holiday.",
            DayMove,
            optional=True,
        ),
        "holidays": Field(
            "The country whose bank holidays count, such as `DE` or `GB`, or a part of one, such "
            "as `DE-BY`; weekends alone without one.",
            _holidays,
            schema=_REGION,
        ),
        "charge_method": word_field(
            "`client` (the client's own, or the default at Stripe), `bank` (a bank debit saved at "
            "Stripe, else the client's) or `named`.",
            MethodChoice,
        ),
        "payment_method_id": Field(
            "The payment method `pm_...` of `charge_method` `named`.", stripe_id
        ),
        "card_max": Field(
            "The amount that a card is charged at most; a larger invoice is charged to a bank "
            "debit saved at Stripe, or not at all."
        ),
        "consolidate": Field(
            "Whether invoices of a client are charged together; null leaves that to the client."
        ),
        "date_created": DATE_CREATED,
        "last_modified": LAST_MODIFIED,
    },
    listing=Listing(
        envelope="rules",
        filters={
            "inactive": Equals(AutopayRule.inactive),
            "client_id": Equals(AutopayRule.client_id),
            "action": Equals(AutopayRule.action, short_text),
        },
    ),
)
