"""Pages that the box leads to by the words of a question: `tomorrow` is the coming charges."""

from typing import NamedTuple

from app.console.pages.search_reads import Hit

# A single letter begins too many words.
_LETTERS_MIN = 2
_PLACES_MAX = 3


class Place(NamedTuple):
    """A page, what it answers, and the words by which somebody asks for it."""

    href: str
    icon: str
    title: str
    answers: str
    words: str


PLACES = (
    Place("/", "home", "Home", "Did today go well?", "home today overview start"),
    Place("/payments", "card", "Payments", "All payments", "payments money in"),
    Place("/payments?state=declined&days=1", "no", "Declined today", "What failed today?",
          "declined today failed what fails"),
    Place("/invoices", "doc", "Invoices", "All invoices", "invoices bills"),
    Place("/invoices?state=overdue", "warn", "Overdue invoices", "Who is late?",
          "overdue invoices late unpaid"),
    Place("/clients", "people", "Clients", "All clients", "clients customers"),
    Place("/unapplied", "coin", "Unapplied money", "Which money is for no invoice?",
          "unapplied unassigned money for no without invoice"),
    Place("/repeated", "same", "Charged twice?", "Who paid one amount twice within days?",
          "charged twice double repeated duplicate payments"),
    Place("/coming", "cal", "Coming charges", "What will be charged, and when?",
          "coming charges what will be charged tomorrow next due forecast"),
    Place("/attempts", "run", "Attempts", "What became of each try?", "attempts tries runs"),
    Place("/attempts?state=unresolved", "clock", "Charges without an answer",
          "Which charges has Stripe not answered?", "unresolved unknown unanswered charges"),
    Place("/approvals", "check", "Approvals", "Which charges wait for a person’s yes?",
          "approvals approve reject held waiting charges"),
    Place("/pauses", "pause", "Pauses", "Does autopay run? Who stopped it?",
          "pauses pause everything all autopay stop brake"),
    Place("/refunds", "back", "Refunds", "What went back?", "refunds money back"),
    Place("/disputes", "flag", "Disputes", "Until when is evidence taken?",
          "disputes disputed chargebacks the customer evidence deadline"),
    Place("/payouts", "bank", "Payouts", "What reaches the bank?", "payouts bank which"),
    Place("/reports", "chart", "Reports", "Ageing, money in, success rate, forecast",
          "reports ageing success rate money in forecast chart statistics"),
    Place("/inbox", "tray", "Inbox", "Which events wait?", "inbox parked dead events"),
    Place("/events", "bolt", "Events", "What did Stripe send?",
          "events webhooks what did stripe send"),
    Place("/health", "pulse", "Health", "Is everything at work?", "health jobs workers status"),
    Place("/audit", "book", "Audit", "Who changed what?", "audit history who changed what"),
    Place("/account", "user", "Your account", "Password, app, passkeys, theme",
          "account password passkey theme profile"),
)  # fmt: skip


def place_hits(text: str) -> list[Hit]:
    """The pages of which each word of the text begins a word; the most fitting first."""
    asked = [word.strip("?!.,") for word in text.lower().split()]
    if not asked or min(map(len, asked)) < _LETTERS_MIN:
        return []
    fits = [one for one in PLACES if _fits(asked, one.words.split())]
    return [Hit("Pages", one.icon, one.href, one.title, one.answers) for one in fits[:_PLACES_MAX]]


def _fits(asked: list[str], words: list[str]) -> bool:
    return all(any(word.startswith(one) for word in words) for one in asked)
