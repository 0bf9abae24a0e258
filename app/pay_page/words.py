"""The words of the page of a pay link, in English and German; others read English."""

from collections.abc import Mapping

from app.documents.languages import Language, language_of
from app.payments.checkout.owed_invoices import PayState

_STATES: Mapping[str, Mapping[PayState, str]] = {
    "en": {
        PayState.DUE: "To be paid",
        PayState.PAID: "Paid",
        PayState.VOIDED: "Cancelled: nothing is to be paid",
        PayState.CHARGING: "An automatic payment has just begun; please look again in a minute",
        PayState.PROCESSING: "Your bank is processing a payment; this takes some days",
        PayState.REVERSED: "A payment was refunded or is disputed; please contact us",
        PayState.AWAITED: "A payment that was begun before has not ended; please look again later",
        PayState.NOT_ONLINE: "This amount cannot be paid online; please contact us",
    },
    "de": {
        PayState.DUE: "Zu zahlen",
        PayState.PAID: "Bezahlt",
        PayState.VOIDED: "Storniert: nichts ist zu zahlen",
        PayState.CHARGING: "Eine automatische Zahlung läuft gerade; bitte gleich noch einmal sehen",
        PayState.PROCESSING: "Ihre Bank bearbeitet eine Zahlung; das dauert einige Tage",
        PayState.REVERSED: "Eine Zahlung wurde erstattet oder bestritten; bitte fragen Sie uns",
        PayState.AWAITED: "Eine früher begonnene Zahlung ist noch offen; bitte später wieder",
        PayState.NOT_ONLINE: "Dieser Betrag kann nicht online gezahlt werden; bitte fragen Sie uns",
    },
}
_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Payment",
        "for": "For {name}",
        "invoice": "Invoice",
        "due_on": "Due on",
        "amount": "Amount due",
        "state": "State",
        "pay": "Pay {amount}",
        "at_stripe": "You pay on a page of Stripe, our payment provider. Your card number never "
        "reaches us.",
        "nothing": "Nothing can be paid here now.",
        "more": "Only the oldest invoices are shown. The others can be paid after these.",
        "thanks": "Thank you. Your payment is shown here as soon as Stripe has confirmed it, "
        "mostly within a minute.",
        "not_now": "Nothing was charged. The list below says what each invoice waits for.",
        "unavailable": "The payment page cannot be opened now. Nothing was charged. Please try "
        "again in a few minutes.",
        "too_many": "Too many requests. Please wait a minute.",
        "portal": "Change your payment methods",
        "objection_title": "Object to a charge",
        "objection": "On {day} this is to be charged to your payment method. If something is not "
        "right, object to it here: nothing of it is charged then before we have looked at it.",
        "object": "Do not charge this",
        "held": "Thank you. None of this is charged automatically any more. We have been told, and "
        "will contact you.",
        "begun": "Where the list says that a payment has begun, it can no longer be stopped here. "
        "Please contact us.",
        "no_charge": "Nothing of this charge is owed any more, so nothing will be charged.",
        "unknown_title": "This link is not valid",
        "unknown": "It is wrong, out of date, or was withdrawn. Please ask for a new one.",
    },
    "de": {
        "title": "Zahlung",
        "for": "Für {name}",
        "invoice": "Rechnung",
        "due_on": "Fällig am",
        "amount": "Offener Betrag",
        "state": "Stand",
        "pay": "{amount} zahlen",
        "at_stripe": "Sie zahlen auf einer Seite von Stripe, unserem Zahlungsdienst. Ihre "
        "Kartennummer erreicht uns nie.",
        "nothing": "Hier kann gerade nichts gezahlt werden.",
        "more": "Nur die ältesten Rechnungen sind gezeigt. Die anderen folgen danach.",
        "thanks": "Vielen Dank. Ihre Zahlung steht hier, sobald Stripe sie bestätigt hat, meist "
        "nach weniger als einer Minute.",
        "not_now": "Es wurde nichts abgebucht. Die Liste sagt, worauf jede Rechnung wartet.",
        "unavailable": "Die Zahlungsseite kann gerade nicht geöffnet werden. Es wurde nichts "
        "abgebucht. Bitte versuchen Sie es in einigen Minuten noch einmal.",
        "too_many": "Zu viele Anfragen. Bitte warten Sie eine Minute.",
        "portal": "Zahlungsmittel ändern",
        "objection_title": "Einer Abbuchung widersprechen",
        "objection": "Am {day} soll dies von Ihrem Zahlungsmittel abgebucht werden. Wenn etwas "
        "nicht stimmt, widersprechen Sie hier: Dann wird nichts davon abgebucht, bevor wir es "
        "geprüft haben.",
        "object": "Nicht abbuchen",
        "held": "Vielen Dank. Nichts davon wird mehr automatisch abgebucht. Wir wissen davon und "
        "melden uns.",
        "begun": "Wo die Liste sagt, dass eine Zahlung läuft, kann sie hier nicht mehr angehalten "
        "werden. Bitte melden Sie sich bei uns.",
        "no_charge": "Von dieser Abbuchung ist nichts mehr offen; es wird nichts abgebucht.",
        "unknown_title": "Dieser Link gilt nicht",
        "unknown": "Er ist falsch, abgelaufen oder wurde zurückgezogen. Bitte bitten Sie um einen "
        "neuen.",
    },
}
# A longer header is no browser's.
_HEADER_MAX = 500


class Words:
    """One language's words, and how it writes amounts and days."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = _TEXTS[language.code]
        self._states = _STATES[language.code]

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def state(self, state: PayState) -> str:
        return self._states[state]


def words_for(accept_language: str) -> Words:
    """The words of the language that the visitor's browser wants most and that there is."""
    wanted = sorted(map(_weighed, accept_language[:_HEADER_MAX].split(",")), reverse=True)
    known = (code for weight, code in wanted if weight > 0 and code in _TEXTS)
    return Words(language_of(next(known, "en")))


def _weighed(part: str) -> tuple[float, str]:
    """The weight and the language of `de-AT;q=0.8`; what is unreadable weighs nothing."""
    name, _, weight = part.partition(";q=")
    try:
        found = float(weight) if weight else 1.0
    except ValueError:
        found = 0.0
    return found, name.strip().lower().partition("-")[0]
