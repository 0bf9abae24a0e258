"""E-invoices say what the document says, and what they lack is named."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from lxml import etree

from app.documents.document_content import DocumentKind, Party, TaxShare
from app.documents.einvoice import einvoice_xml
from app.documents.einvoice_gaps import EinvoiceFormat, EinvoiceIncomplete, list_gaps
from tests.documents.random_invoices import random_invoice
from tests.documents.samples import BUYER, SELLER, gross_line, invoice, line

XML = (EinvoiceFormat.XRECHNUNG, EinvoiceFormat.PEPPOL, EinvoiceFormat.FACTUR_X)
# Where each syntax keeps the sums, by the ends of their names.
SUMS = {
    "net": ("TaxExclusiveAmount", "TaxBasisTotalAmount"),
    "total": ("TaxInclusiveAmount", "GrandTotalAmount"),
    "due": ("PayableAmount", "DuePayableAmount"),
}


def amount(xml: ElementTree.Element, names: tuple[str, ...]) -> Decimal:
    (found,) = {one.text for one in xml.iter() if one.tag.rpartition("}")[2] in names}
    assert found is not None
    return Decimal(found)


@pytest.mark.parametrize("kind", XML)
def test_the_sums_of_an_einvoice_are_those_of_the_document(kind: EinvoiceFormat) -> None:
    written = 0
    for seed in range(1, 40):
        document, seller = random_invoice(seed)
        try:
            xml = ElementTree.fromstring(einvoice_xml(document, seller, kind))
        except EinvoiceIncomplete:
            continue
        written += 1
        told = {name: amount(xml, names) for name, names in SUMS.items()}
        assert told == {name: getattr(document, name) for name in SUMS}, seed
        text = "".join(xml.itertext())
        assert document.number in text
        assert document.currency in {*xml.itertext(), *(
            one.get("currencyID") for one in xml.iter()
        )}  # fmt: skip
    assert written > 10


def test_a_price_with_tax_stands_without_it() -> None:
    document = invoice([gross_line()], tax_point=date(2026, 10, 31))

    xml = ElementTree.fromstring(einvoice_xml(document, SELLER, EinvoiceFormat.PEPPOL))

    prices = [one.text for one in xml.iter() if one.tag.endswith("}PriceAmount")]
    points = [one.text for one in xml.iter() if one.tag.endswith("}TaxPointDate")]
    assert (prices, points) == (["10"], ["2026-10-31"])


def test_a_credit_note_is_one() -> None:
    note = invoice(1, kind=DocumentKind.CREDIT_NOTE, payments=[], paid=Decimal(0), due=Decimal(0))

    xml = etree.fromstring(einvoice_xml(note, SELLER, EinvoiceFormat.XRECHNUNG))

    assert etree.QName(xml).localname == "CreditNote"
    assert "381" in "".join(xml.itertext())


UNTAXED = ("Z", "E", "AE", "K", "G", "O")


@pytest.mark.parametrize("kind", XML)
@pytest.mark.parametrize("category", UNTAXED)
@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
def test_every_reason_not_to_tax_has_an_einvoice(
    category: str, currency: str, kind: EinvoiceFormat
) -> None:
    document = invoice(
        [line("10", tax_category=category, tax_percent=Decimal(0))], currency=currency,
        taxes=[TaxShare(Decimal(0), category, "", Decimal(10), Decimal(0))],
        tax=Decimal(0), total=Decimal(10), paid=Decimal(0), due=Decimal(10), payments=[],
    )  # fmt: skip
    seller = SELLER.model_copy(update={"vat_number": "" if category == "O" else "DE123456789"})

    xml = ElementTree.fromstring(einvoice_xml(document, seller, kind))

    assert amount(xml, SUMS["total"]) == 10
    assert category in {one.text for one in xml.iter()}
    is_delivered = BUYER.name in {
        one.text
        for place in xml.iter()
        if place.tag.rpartition("}")[2] in ("DeliveryParty", "ShipToTradeParty")
        for one in place.iter()
    }
    assert is_delivered == (category == "K")


def test_texts_of_customers_are_texts() -> None:
    hostile = "<a>&amp; ]]> \x08 \ufffe \u202e &lt;"
    document = invoice([line("10", title=hostile)], notes=[hostile])

    xml = etree.fromstring(einvoice_xml(document, SELLER, EinvoiceFormat.PEPPOL))

    assert not xml.xpath("//*[local-name()='a']")
    assert "<a>&amp; ]]>" in "".join(xml.itertext())


@pytest.mark.parametrize(
    ("changes", "seller", "kind", "gap"),
    [
        ({"voided": True}, {}, EinvoiceFormat.FACTUR_X, "the invoice is voided"),
        ({"issued_on": None}, {}, EinvoiceFormat.FACTUR_X, "invoice_date: is empty"),
        ({"lines": []}, {}, EinvoiceFormat.FACTUR_X, "lines: there is none"),
        ({"buyer": replace(BUYER, country="")}, {}, EinvoiceFormat.FACTUR_X, "client.country: "),
        ({"buyer": Party(country="DE")}, {}, EinvoiceFormat.FACTUR_X, "client.name: is empty"),
        ({"buyer": replace(BUYER, vat_number="987")}, {}, EinvoiceFormat.FACTUR_X,
         "client.vat_number: does not begin"),
        ({}, {"vat_number": ""}, EinvoiceFormat.FACTUR_X, "seller.vat_number: is empty"),
        ({"due_on": None}, {"terms": ""}, EinvoiceFormat.FACTUR_X, "duedate: is empty"),
        ({"lines": [line("1", tax_category="")]}, {}, EinvoiceFormat.FACTUR_X,
         "lines[0].tax_code: nothing is taxed"),
        ({"lines": [line("1", tax_category="X")]}, {}, EinvoiceFormat.FACTUR_X,
         "lines[0].tax_code: category_code X"),
        ({"lines": [line("1", tax_category="E")]}, {}, EinvoiceFormat.FACTUR_X,
         "lines[0].tax_code: category_code E does not fit the rate 19"),
        ({"lines": [line("1", title="")]}, {}, EinvoiceFormat.FACTUR_X,
         "lines[0].item_shortdescription: is empty"),
        ({"buyer": replace(BUYER, einvoice_address="")}, {}, EinvoiceFormat.PEPPOL,
         "client.einvoice_address: is no Peppol participant"),
        ({"buyer_reference": "", "order_number": ""}, {}, EinvoiceFormat.PEPPOL,
         "client.buyer_reference or order_number"),
        ({"buyer_reference": ""}, {}, EinvoiceFormat.XRECHNUNG, "client.buyer_reference"),
    ],
)  # fmt: skip
def test_what_an_einvoice_lacks_is_named(
    changes: dict[str, Any], seller: dict[str, Any], kind: EinvoiceFormat, gap: str
) -> None:
    document, its_seller = invoice(2, **changes), SELLER.model_copy(update=seller)

    assert [one for one in list_gaps(document, its_seller, kind) if one.startswith(gap)]
    assert not list(list_gaps(invoice(2), SELLER, kind))
    with pytest.raises(EinvoiceIncomplete) as refused:
        einvoice_xml(document, its_seller, kind)
    assert gap in refused.value.message


def test_taxes_of_a_reverse_charge_need_the_buyers_number() -> None:
    document = invoice(
        [line("10", tax_category="AE", tax_percent=Decimal(0))],
        taxes=[TaxShare(Decimal(0), "AE", "Reverse charge", Decimal(10), Decimal(0))],
        buyer=replace(BUYER, vat_number=""),
    )

    assert [
        one
        for one in list_gaps(document, SELLER, EinvoiceFormat.FACTUR_X)
        if one.startswith("client.vat_number: is empty")
    ]
