"""Random invoices of every kind that an e-invoice may be: a seed is an invoice, again and again."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from app.documents.document_content import (
    DocumentKind,
    DocumentLine,
    InvoiceDocument,
    Party,
    TaxShare,
)
from app.documents.document_folder import BankAccount, Seller
from app.rules import money
from app.rules.apportionment import apportion
from app.rules.invoice import Line
from tests.documents.samples import BUYER, SELLER

# Country, VAT number, Peppol participant; each number is invented and has its country's form.
_PLACES = (
    ("DE", "DE123456789", "9930:DE123456789"),
    ("FR", "FR83404833048", "9957:FR83404833048"),
    ("AT", "ATU12345675", "9914:ATU12345675"),
    ("BE", "BE0202239951", "9925:BE0202239951"),
    ("LU", "LU10000356", "9938:LU10000356"),
    ("IE", "IE6388047V", "9935:IE6388047V"),
)
_RATES = {
    "S": (19, 7, 20, 21, 5.5),
    "Z": (0,),
    "E": (0,),
    "AE": (0,),
    "K": (0,),
    "G": (0,),
    "O": (0,),
}
_WORDS = "Support Hosting Beratung déplacement “quoted” <b>&amp; 日本語 العربية Ωmega €uro".split()
_CURRENCIES = ("EUR", "EUR", "EUR", "USD", "CHF", "JPY", "SEK", "KWD", "ISK")


def random_invoice(seed: int) -> tuple[InvoiceDocument, Seller]:
    """The invoice of a seed, and who sells."""
    dice = random.Random(seed)
    seller, buyer = _parties(dice)
    currency = dice.choice(_CURRENCIES)
    categories = _categories(dice)
    if categories == ["O"]:
        seller = seller.model_copy(update={"vat_number": ""})
    issued = date(2026, 1, 1) + timedelta(days=dice.randrange(330))
    period = (issued - timedelta(days=dice.randrange(1, 60)), issued)
    exact = [_line(dice, categories, period) for _ in range(dice.choice((1, 1, 2, 3, 5, 8, 30)))]
    lines, taxes = _sums(exact, currency)
    net = sum((one.net for one in taxes), Decimal(0))
    tax = sum((one.tax for one in taxes), Decimal(0))
    total = net + tax
    if total < 0:
        return random_invoice(seed + 1_000_000)
    is_credit = dice.random() < 0.2
    tax_point = None if dice.random() < 0.8 else issued - timedelta(days=dice.randrange(1, 60))
    paid = money.rounded(total * dice.choice((0, 0, 1, Decimal("0.25"))), currency)
    return (
        InvoiceDocument(
            id=seed, kind=DocumentKind.CREDIT_NOTE if is_credit else DocumentKind.INVOICE,
            number=f"R-{seed}", currency=currency, buyer=buyer, issued_on=issued,
            tax_point=tax_point,
            due_on=None if is_credit else issued + timedelta(days=dice.randrange(40)),
            period=period if dice.random() < 0.5 else None,
            order_number=dice.choice(("", "PO 7781")),
            buyer_reference=dice.choice(("04011000-12345-03", "ACME/42")),
            corrects="R-1" if is_credit and dice.random() < 0.5 else "",
            notes=dice.choice(((), ("Danke",), ("one\ntwo", "three <3"))),
            lines=lines, taxes=taxes, net=net, tax=tax, total=total, paid=paid, due=total - paid,
        ),
        seller,
    )  # fmt: skip


def _parties(dice: random.Random) -> tuple[Seller, Party]:
    (country, vat, participant), (home, buyers_vat, buyers) = (
        dice.choice(_PLACES),
        dice.choice(_PLACES),
    )
    seller = SELLER.model_copy(
        update={
            "country": country,
            "vat_number": vat,
            "einvoice_address": participant,
            "bank": dice.choice((SELLER.bank, BankAccount())),
        }
    )
    buyer = replace(
        BUYER, name=dice.choice(("Ada & Söhne <GmbH>", "Café №5", "株式会社テスト")), country=home,
        vat_number=buyers_vat, einvoice_address=buyers,
    )  # fmt: skip
    return seller, buyer


def _categories(dice: random.Random) -> list[str]:
    only = dice.choice(("S", "S", "S", "S", "AE", "K", "G", "O", "mixed"))
    return ["S", "Z", "E"] if only == "mixed" else [only]


def _line(
    dice: random.Random, categories: Sequence[str], period: tuple[date, date]
) -> DocumentLine:
    category = dice.choice(categories)
    places = dice.choice((0, 2, 2, 4, 6))
    price = Decimal(dice.randrange(-2, 10 ** dice.choice((3, 5, 7)))).scaleb(-places)
    return DocumentLine(
        title=" ".join(dice.choices(_WORDS, k=3)), text="\n".join(dice.choices(_WORDS, k=2)),
        item_code=dice.choice(("", "A-1")), period=dice.choice((None, period)),
        quantity=Decimal(dice.randrange(1, 5000)).scaleb(-dice.choice((0, 0, 1, 3))),
        unit_price=price, discount_percent=Decimal(dice.choice((0, 0, 0, 10, 100, "12.345"))),
        tax_percent=Decimal(str(dice.choice(_RATES[category]))), tax_category=category,
        net=Decimal(0), price_includes_tax=dice.random() < 0.2,
    )  # fmt: skip


def _sums(
    exact: Sequence[DocumentLine], currency: str
) -> tuple[list[DocumentLine], list[TaxShare]]:
    """The lines with their rounded nets, and the taxes that they add up to."""
    nets = [
        Line(one.quantity, one.unit_price, one.discount_percent, one.tax_percent,
             price_includes_tax=one.price_includes_tax).net
        for one in exact
    ]  # fmt: skip
    groups: dict[tuple[str, Decimal], list[int]] = defaultdict(list)
    for at, one in enumerate(exact):
        groups[one.tax_category, one.tax_percent].append(at)
    of_group = [sum((nets[at] for at in places), Decimal(0)) for places in groups.values()]
    rounded = apportion(of_group, money.rounded(sum(nets, Decimal(0)), currency), currency)
    lines = list(exact)
    taxes = []
    for ((category, percent), places), net in zip(groups.items(), rounded, strict=True):
        parts = apportion([nets[at] for at in places], net, currency)
        for at, part in zip(places, parts, strict=True):
            lines[at] = replace(exact[at], net=part)
        tax = money.rounded(sum((nets[at] for at in places), Decimal(0)) * percent / 100, currency)
        reason = "Article 196 Directive 2006/112/EC" if category == "AE" else ""
        taxes.append(TaxShare(percent, category, "", net, tax, reason))
    return lines, taxes
