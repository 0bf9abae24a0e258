"""The content of a mail as plain values: facts of the outbox in the words of a language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from app.mail.mail_words import MailWords
from app.rules import calendar
from app.rules.mail_kind import MailKind

# Rows that a person reads; of more the total says enough.
ROWS_MAX = 100
# Between the sums of several currencies.
_AND = " + "


class NotToBeSent(Exception):
    """The mail has lost its reason, or nobody may get it; the message says why."""


class OwedInvoice(NamedTuple):
    """An invoice as it is when the mail is sent."""

    id: int
    number: str
    amount: Decimal
    currency: str
    due_on: date | None


@dataclass(frozen=True, slots=True)
class MailFacts:
    """A message of the outbox with what is known of its subject now.

    `invoices` are those that it names and that owe something still; `numbers` are all their
    numbers. Instants are shown as days of the reader's time zone.
    """

    kind: str
    facts: Mapping[str, Any]
    name: str
    seller: str
    timezone: str
    today: date
    invoices: Sequence[OwedInvoice]
    numbers: Mapping[int, str]
    # Where the reader may object to a coming charge; empty without such an address.
    object_url: str = ""


@dataclass(frozen=True, slots=True)
class MailRow:
    """A line of the mail's table; `note` is empty or says when it was due."""

    label: str
    note: str
    amount: str


@dataclass(frozen=True, slots=True)
class MailContent:
    """All that templates are given. Every value is text of a person's language, and no markup."""

    kind: str
    language: str
    subject: str
    heading: str
    greeting: str
    paragraphs: Sequence[str]
    rows: Sequence[MailRow]
    total_label: str
    totals: Sequence[str]
    after: Sequence[str]
    # An address with its words; both are empty in most mails.
    link: str
    link_text: str
    closing: str
    seller: str
    footer: str


# Mail about what is owed has no reason once that is paid.
_ABOUT_DEBTS = frozenset(
    {
        MailKind.COMING_CHARGE,
        MailKind.DECLINED,
        MailKind.ACTION_NEEDED,
        MailKind.DEBIT_RETURNED,
        MailKind.REMINDER,
        MailKind.STATEMENT,
    }
)
# Their amounts are those that are due when they are sent.
_LISTS = frozenset({MailKind.COMING_CHARGE, MailKind.REMINDER, MailKind.STATEMENT})


def mail_content(given: MailFacts, words: MailWords) -> MailContent:
    """The content in these words, or NotToBeSent."""
    kind = given.kind
    if kind in _ABOUT_DEBTS and not given.invoices:
        raise NotToBeSent("nothing of it is owed any more")
    values = _values(given, words)
    rows = _rows(given, words)
    return MailContent(
        kind=kind,
        language=words.language,
        subject=words.text(f"{kind}.subject", **values),
        heading=words.text(f"{kind}.heading", **values),
        greeting=words.text("greeting", name=given.name)
        if given.name
        else words.text("greeting_nobody"),
        paragraphs=[words.text(f"{kind}.text", **values)],
        rows=rows,
        total_label=words.text("total"),
        totals=values["amount"].split(_AND) if len(rows) > 1 else [],
        after=_after(given, words, values),
        link=given.object_url,
        link_text=words.text("coming_charge.object") if given.object_url else "",
        closing=words.text("closing"),
        seller=given.seller,
        footer=words.text("footer"),
    )


def _values(given: MailFacts, words: MailWords) -> dict[str, str]:
    """The values that texts may name."""
    facts = given.facts
    sums = _sums(given.invoices, words)
    amount = _AND.join(sums)
    # A message that does not name all its invoices says their sum.
    is_summed = given.kind not in _LISTS or facts.get("count", 0) > len(facts["invoices"])
    if is_summed and "amount" in facts:
        amount = words.money(Decimal(facts["amount"]), facts["currency"])
    return {
        "amount": amount,
        "day": _day(given, words),
        "method": facts.get("method") or "",
        "dispute": facts.get("dispute") or "",
        "intent": facts.get("intent_id") or "",
        "reason": facts.get("reason") or "-",
        "title": facts.get("title") or "",
        "detail": facts.get("detail") or "",
        "seller": given.seller,
        "name": given.name,
    }


def _day(given: MailFacts, words: MailWords) -> str:
    """The day that the kind is about, if it has one."""
    facts = given.facts
    match given.kind:
        case MailKind.CARD_EXPIRING:
            return words.month(date(facts["exp_year"], facts["exp_month"], 1))
        case MailKind.RECEIPT:
            return _local_day(facts.get("at"), given, words)
        case "alert":
            return _minute(facts.get("began_at"))
        case MailKind.DISPUTE:
            return _local_day(facts.get("evidence_due_at"), given, words)
        case MailKind.STATEMENT | MailKind.REMINDER:
            return words.day(given.today)
        case MailKind.COMING_CHARGE:
            return words.day(date.fromisoformat(facts["charge_on"]))
        case _:
            named = facts.get("next_try_on")
            return words.day(date.fromisoformat(named)) if named else ""


def _minute(instant: str | None) -> str:
    """`2026-11-27 10:30`, as operators compare it with their logs."""
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M}" if instant else ""


def _local_day(instant: str | None, given: MailFacts, words: MailWords) -> str:
    if instant is None:
        return ""
    return words.day(calendar.business_day(datetime.fromisoformat(instant), given.timezone))


def _after(given: MailFacts, words: MailWords, values: Mapping[str, str]) -> list[str]:
    """The sentences below the table."""
    key = "after"
    match given.kind:
        case MailKind.RECEIPT:
            return [words.text("receipt.method", **values)] if values["method"] else []
        case MailKind.DEBIT_RETURNED if values["day"]:
            key = "again"
        case MailKind.DISPUTE if not values["day"]:
            return []
    return [words.text(f"{given.kind}.{key}", **values)]


def _rows(given: MailFacts, words: MailWords) -> list[MailRow]:
    if given.kind in _LISTS:
        return [_owed(one, words) for one in given.invoices[:ROWS_MAX]]
    facts = given.facts
    return [
        MailRow(
            words.text("invoice", number=given.numbers.get(one["id"]) or str(one["id"])),
            "",
            words.money(Decimal(one["amount"]), facts["currency"]),
        )
        for one in facts.get("invoices", ())[:ROWS_MAX]
    ]


def _owed(one: OwedInvoice, words: MailWords) -> MailRow:
    due = words.text("due", day=words.day(one.due_on)) if one.due_on else ""
    return MailRow(
        words.text("invoice", number=one.number), due, words.money(one.amount, one.currency)
    )


def _sums(invoices: Sequence[OwedInvoice], words: MailWords) -> list[str]:
    sums: dict[str, Decimal] = {}
    for one in invoices:
        sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.amount
    return [words.money(total, currency) for currency, total in sorted(sums.items())]
