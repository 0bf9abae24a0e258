"""Which customer is whose: certain pairs, and every pair that must not be made by itself."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from app.rules import company_name
from app.rules.customer_match import (
    MappableClient,
    MatchEvidence,
    StripeCustomer,
    matches,
    stale_mappings,
)


class Pair(NamedTuple):
    """A case: its clients, the customers, and the customer that the first client gets or not."""

    clients: Sequence[MappableClient]
    customers: Sequence[StripeCustomer]
    doubt: str


def client(id_: int, name: str, email: str | None = None, **more: object) -> MappableClient:
    return MappableClient(id_, name, email, **more)  # type: ignore[arg-type]  # fields by name


def customer(id_: str, name: str, email: str | None = None, **more: object) -> StripeCustomer:
    return StripeCustomer(id_, (name,), email, **more)  # type: ignore[arg-type]  # fields by name


ACME = client(1, "Acme GmbH", "pay@acme.example")

CERTAIN = {
    "e-mail and name": (ACME, customer("cus_1", "ACME GmbH", "Pay@Acme.example")),
    "a legal form that one side leaves out": (ACME, customer("cus_1", "Acme", "pay@acme.example")),
    "a legal form written out": (
        client(1, "Acme Ltd.", "a@acme.example"),
        customer("cus_1", "Acme Limited", "a@acme.example"),
    ),
    "initials with dots": (
        client(1, "Dupont S.A.R.L.", "a@dupont.example"),
        customer("cus_1", "Dupont SARL", "a@dupont.example"),
    ),
    "words in another order": (
        client(1, "Smith, John", "john@smith.example"),
        customer("cus_1", "John Smith", "john@smith.example"),
    ),
    "an umlaut spelt out": (
        client(1, "Müller Söhne", "a@mueller.example"),
        customer("cus_1", "Mueller Soehne", "a@mueller.example"),
    ),
    "an umlaut without its dots": (
        client(1, "Müller", "a@mueller.example"),
        customer("cus_1", "Muller", "a@mueller.example"),
    ),
    "marks of any kind": (
        client(1, "Sørensen & Łukasz", "a@s.example"),
        customer("cus_1", "Sorensen and Lukasz", "a@s.example"),
    ),
    "a typing error": (
        client(1, "Stanhope Dental", "a@stanhope.example"),
        customer("cus_1", "Stanhop Dental", "a@stanhope.example"),
    ),
    "one of two addresses": (
        client(1, "Acme", "pay@acme.example; boss@acme.example"),
        customer("cus_1", "Acme", "boss@acme.example"),
    ),
    "the number and the name": (
        client(1, "Acme"),
        customer("cus_1", "Acme", client_ids=frozenset({1})),
    ),
    "the number and the address, after a change of name": (
        client(1, "Acme New Name", "pay@acme.example"),
        customer("cus_1", "Old Corner Shop", "pay@acme.example", client_ids=frozenset({1})),
    ),
    "the whole name and the company's domain": (
        client(1, "Acme Dental GmbH", "office@acme.example"),
        customer("cus_1", "Acme Dental GmbH", "billing@acme.example"),
    ),
    "characters that are not seen": (
        client(1, "Ac\u200bme", "pay@acme.example"),
        customer("cus_1", "Acme", "pay@acme.example"),
    ),
}


@pytest.mark.parametrize("case", CERTAIN)
def test_two_kinds_of_evidence_that_agree_are_certain(case: str) -> None:
    one, other = CERTAIN[case]

    (found,) = matches([one, client(2, "Somebody Else", "b@else.example")][:1], [other])

    assert (found.is_certain, found.doubt) == (True, "")
    assert [each.customer.id for each in found.candidates] == ["cus_1"]


MAIL = "pay@acme.example"
UNSURE = {
    "two customers of one address": Pair(
        [ACME],
        [customer("cus_1", "Acme GmbH", MAIL), customer("cus_2", "Acme GmbH", MAIL)],
        "cus_2 has the same e-mail and name",
    ),
    "two customers of one address, of which one is mapped already": Pair(
        [ACME, client(2, "Acme Store", "x@y.example", customer_id="cus_2")],
        [customer("cus_1", "Acme GmbH", MAIL), customer("cus_2", "Acme Store", MAIL)],
        "cus_2 has the same e-mail",
    ),
    "an accountant's address of two clients": Pair(
        [client(1, "Acme", "tax@advisor.example"), client(2, "Blue Cafe", "tax@advisor.example")],
        [customer("cus_1", "Acme", "tax@advisor.example")],
        "clients 1 and 2 share tax@advisor.example",
    ),
    "the address of a client that is inactive": Pair(
        [ACME, client(2, "Acme old", MAIL, inactive=True)],
        [customer("cus_1", "Acme GmbH", MAIL)],
        "clients 1 and 2 share pay@acme.example",
    ),
    "two clients of one name": Pair(
        [ACME, client(2, "ACME gmbh", "other@acme2.example")],
        [customer("cus_1", "Acme GmbH", MAIL)],
        "clients 1 and 2 have one name",
    ),
    "two clients whose names differ by the legal form alone": Pair(
        [ACME, client(2, "Acme AG")],
        [customer("cus_1", "Acme GmbH", MAIL)],
        "clients 1 and 2 have one name",
    ),
    "a second customer of the same name": Pair(
        [ACME],
        [customer("cus_1", "Acme GmbH", MAIL), customer("cus_2", "Acme GmbH", "old@acme.example")],
        "cus_2 has the same name",
    ),
    "the address without the name": Pair(
        [ACME], [customer("cus_1", "Blue Cafe", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "another legal form": Pair(
        [ACME], [customer("cus_1", "Acme AG", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "another site": Pair(
        [client(1, "Acme North", MAIL)], [customer("cus_1", "Acme South", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "another number": Pair(
        [client(1, "Store 12", MAIL)], [customer("cus_1", "Store 21", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "one letter of a short name": Pair(
        [client(1, "Acme", MAIL)], [customer("cus_1", "Acne", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "one word more": Pair(
        [client(1, "Acme", MAIL)], [customer("cus_1", "Acme Holding", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "another alphabet": Pair(
        [client(1, "Ромашка", MAIL)], [customer("cus_1", "Romashka", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "a Cyrillic letter in a Latin word": Pair(
        [client(1, "Acme Dental", MAIL)], [customer("cus_1", "\u0410cme Dental", MAIL)],
        "the e-mail address agrees, the name does not",
    ),
    "the name alone": Pair([client(1, "Acme")], [customer("cus_1", "Acme", MAIL)],
        "only the name agrees"),
    "the name and a domain that everybody has": Pair(
        [client(1, "Jo Smith", "jo1@gmail.com")], [customer("cus_1", "Jo Smith", "jo2@gmail.com")],
        "only the name agrees",
    ),
    "nearly the name and the domain": Pair(
        [client(1, "Acme Dental Cares", "a@acme.example")],
        [customer("cus_1", "Acme Dental Care", "b@acme.example")],
        "the names are 96 % alike, and nothing else agrees",
    ),
    "the number without the name": Pair(
        [client(1, "Acme")], [customer("cus_1", "Blue Cafe", client_ids=frozenset({1}))],
        "its metadata names the client, the name does not agree",
    ),
    "another client's number": Pair(
        [ACME], [customer("cus_1", "Acme GmbH", MAIL, client_ids=frozenset({7}))],
        "its metadata names client 7",
    ),
    "two numbers": Pair(
        [ACME], [customer("cus_1", "Acme GmbH", MAIL, client_ids=frozenset({1, 7}))],
        "its metadata names client 1, 7",
    ),
    "a second customer with the number": Pair(
        [ACME],
        [
            customer("cus_1", "Acme GmbH", MAIL),
            customer("cus_2", "Blue Cafe", client_ids=frozenset({1})),
        ],
        "cus_2 has the same id",
    ),
    "another country": Pair(
        [client(1, "Acme GmbH", MAIL, country="DE")],
        [customer("cus_1", "Acme GmbH", MAIL, country="AT")],
        "it is in AT and the client in DE",
    ),
    "a customer that is mapped already": Pair(
        [ACME, client(2, "Blue Cafe", customer_id="cus_1")],
        [customer("cus_1", "Acme GmbH", MAIL)],
        "cus_1 is the customer of client 2 already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSURE)
def test_a_pair_that_may_be_wrong_is_shown_with_its_reason(case: str) -> None:
    clients, customers, doubt = UNSURE[case]

    found = next(iter(matches(clients, customers)))

    assert (found.is_certain, found.doubt) == (False, doubt)
    assert found.candidates, "a person sees what it is about"


def test_who_has_a_customer_is_inactive_or_like_nobody_gets_none() -> None:
    mapped = client(2, "Blue Cafe", "b@blue.example", customer_id="cus_9")
    clients = [client(1, "Nobody Knows"), mapped, client(3, "Gone", "g@g.example", inactive=True)]
    customers = [
        customer("cus_1", "Blue Cafe", "b@blue.example"),
        customer("cus_2", "Gone", "g@g.example"),
        customer("cus_3", "!!!"),
        StripeCustomer("cus_4"),
    ]

    found = list(matches(clients, customers))

    assert [(one.client.id, one.candidates, one.doubt) for one in found] == [(1, (), "")]
    assert stale_mappings(clients, customers) == [mapped]


def test_what_agrees_is_said() -> None:
    other = customer("cus_1", "Acme", MAIL, client_ids=frozenset({1}))

    (found,) = matches([ACME], [other])

    assert found.candidates[0].evidence == (
        MatchEvidence.ID,
        MatchEvidence.EMAIL,
        MatchEvidence.NAME,
    )


WORDS = st.sampled_from("Acme Blue Cafe Dental North South Müller 12 GmbH AG Ltd".split())
NAMES = st.lists(WORDS, max_size=3).map(" ".join)
ADDRESSES = st.sampled_from([None, "a@x.example", "b@x.example", "c@y.example", "d@gmail.com"])
CLIENTS = st.lists(
    st.tuples(NAMES, ADDRESSES, st.sampled_from([None, None, "cus_0", "cus_1"]), st.booleans()),
    max_size=6,
)
CUSTOMERS = st.lists(
    st.tuples(NAMES, ADDRESSES, st.frozensets(st.integers(0, 5), max_size=1)), max_size=6
)


@given(CLIENTS, CUSTOMERS)
@settings(max_examples=500, deadline=None)
def test_no_customer_is_certain_twice_and_none_that_is_taken(
    drawn_clients: list[tuple[str, str | None, str | None, bool]],
    drawn_customers: list[tuple[str, str | None, frozenset[int]]],
) -> None:
    clients = [
        MappableClient(number, name, email, inactive=inactive, customer_id=taken)
        for number, (name, email, taken, inactive) in enumerate(drawn_clients)
    ]
    customers = [
        StripeCustomer(f"cus_{number}", (name,), email, client_ids=ids)
        for number, (name, email, ids) in enumerate(drawn_customers)
    ]

    found = [one for one in matches(clients, customers) if one.is_certain]

    given_out = [one.candidates[0].customer.id for one in found]
    assert len(set(given_out)) == len(given_out)
    assert not {one.customer_id for one in clients} & set(given_out)
    for one in found:
        best = one.candidates[0]
        is_alike = any(company_name.agree(one.client.name, name) for name in best.customer.names)
        is_addressed = one.client.email is not None and one.client.email == best.customer.email
        is_numbered = one.client.id in best.customer.client_ids
        is_of_domain = (one.client.email or "@1")[1:] == (best.customer.email or "@2")[1:]
        assert is_alike + is_addressed + is_numbered >= 2 or (is_alike and is_of_domain)
