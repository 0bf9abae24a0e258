"""Pages that the box leads to by the words of a question: `tomorrow` is the coming charges."""

from typing import NamedTuple

from app.console.language import N_, _
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
    Place("/", "home", N_("Home"), N_("Did today go well?"), N_("home today overview start")),
    Place("/payments", "card", N_("Payments"), N_("All payments"), N_("payments money in")),
    Place(
        "/payments?state=declined&days=1",
        "no",
        N_("Declined today"),
        N_("What failed today?"),
        N_("declined today failed what fails"),
    ),
    Place("/invoices", "doc", N_("Invoices"), N_("All invoices"), N_("invoices bills")),
    Place(
        "/invoices?state=overdue",
        "warn",
        N_("Overdue invoices"),
        N_("Who is late?"),
        N_("overdue invoices late unpaid"),
    ),
    Place("/clients", "people", N_("Clients"), N_("All clients"), N_("clients customers")),
    Place(
        "/unapplied",
        "coin",
        N_("Unapplied money"),
        N_("Which money is for no invoice?"),
        N_("unapplied unassigned money for no without invoice"),
    ),
    Place(
        "/repeated",
        "same",
        N_("Charged twice?"),
        N_("Who paid one amount twice within days?"),
        N_("charged twice double repeated duplicate payments"),
    ),
    Place(
        "/coming",
        "cal",
        N_("Coming charges"),
        N_("What will be charged, and when?"),
        N_("coming charges what will be charged tomorrow next due forecast"),
    ),
    Place(
        "/attempts",
        "run",
        N_("Attempts"),
        N_("What became of each try?"),
        N_("attempts tries runs"),
    ),
    Place(
        "/attempts?state=unresolved",
        "clock",
        N_("Charges without an answer"),
        N_("Which charges has Stripe not answered?"),
        N_("unresolved unknown unanswered charges"),
    ),
    Place(
        "/approvals",
        "check",
        N_("Approvals"),
        N_("Which charges wait for a person’s yes?"),
        N_("approvals approve reject held waiting charges"),
    ),
    Place(
        "/rules",
        "doc",
        N_("Autopay rules"),
        N_("Which invoices are charged when, and by what?"),
        N_("rules autopay limits conditions who is charged when"),
    ),
    Place(
        "/runs",
        "book",
        N_("Runs"),
        N_("What did autopay do?"),
        N_("runs autopay dry run outcome what did autopay do"),
    ),
    Place(
        "/pauses",
        "pause",
        N_("Pauses"),
        N_("Does autopay run? Who stopped it?"),
        N_("pauses pause everything all autopay stop brake"),
    ),
    Place(
        "/links",
        "out",
        N_("Pay links"),
        N_("Which links open something?"),
        N_("pay links customers pay without login revoke"),
    ),
    Place(
        "/mails",
        "note",
        N_("Mail"),
        N_("What was written to whom?"),
        N_("mail mails sent receipts reminders bounced"),
    ),
    Place("/refunds", "back", N_("Refunds"), N_("What went back?"), N_("refunds money back")),
    Place(
        "/disputes",
        "flag",
        N_("Disputes"),
        N_("Until when is evidence taken?"),
        N_("disputes disputed chargebacks the customer evidence deadline"),
    ),
    Place(
        "/payouts", "bank", N_("Payouts"), N_("What reaches the bank?"), N_("payouts bank which")
    ),
    Place(
        "/reports",
        "chart",
        N_("Reports"),
        N_("Ageing, money in, success rate, forecast"),
        N_("reports ageing success rate money in forecast chart statistics"),
    ),
    Place("/inbox", "tray", N_("Inbox"), N_("Which events wait?"), N_("inbox parked dead events")),
    Place(
        "/events",
        "bolt",
        N_("Events"),
        N_("What did Stripe send?"),
        N_("events webhooks what did stripe send"),
    ),
    Place(
        "/health",
        "pulse",
        N_("Health"),
        N_("Is everything at work?"),
        N_("health jobs workers status"),
    ),
    Place(
        "/audit", "book", N_("Audit"), N_("Who changed what?"), N_("audit history who changed what")
    ),
    Place(
        "/account",
        "user",
        N_("Your account"),
        N_("Password, app, passkeys, theme"),
        N_("account password passkey theme profile"),
    ),
)


def place_hits(text: str) -> list[Hit]:
    """The pages of which each word of the text begins a word; the most fitting first."""
    asked = [word.strip("?!.,") for word in text.lower().split()]
    if not asked or min(map(len, asked)) < _LETTERS_MIN:
        return []
    fits = [one for one in PLACES if _fits(asked, _words(one))]
    return [
        Hit(N_("Pages"), one.icon, one.href, one.title, one.answers) for one in fits[:_PLACES_MAX]
    ]


def _words(place: Place) -> list[str]:
    """The words of the page's language, and those of English, which Stripe speaks."""
    english = str.__str__(place.words)
    return [*english.split(), *_(english).lower().split()]


def _fits(asked: list[str], words: list[str]) -> bool:
    return all(any(word.startswith(one) for word in words) for one in asked)
