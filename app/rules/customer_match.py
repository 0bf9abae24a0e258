"""The customer of each client at Stripe: certain, to be looked at by a person, or none.

A wrong pair charges somebody else's card, so a pair is certain only by two kinds of evidence that
agree, while nothing says otherwise. The likeness of names alone makes no pair.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from rapidfuzz import fuzz, process

from app.rules import company_name

# Names that a person may want to look at, and how many of them are shown for a client.
LIKENESS_MIN = 82
CANDIDATES_MAX = 5
# Properties in a customer's metadata that integrations keep a client's number in.
ID_PROPERTIES = (
    "paydue_client_id", "halo_client_id", "halopsa_client_id", "halo_id", "client_id", "clientid",
)  # fmt: skip
# Addresses at these say nothing about the company; only the whole address does.
_FREE_MAIL = frozenset(
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com icloud.com me.com "
    "mac.com aol.com gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de mail.com mail.ru "
    "proton.me protonmail.com pm.me zoho.com yandex.ru orange.fr free.fr wanadoo.fr laposte.net "
    "libero.it hotmail.co.uk hotmail.fr yahoo.co.uk yahoo.fr btinternet.com comcast.net".split()
)
K = TypeVar("K")
V = TypeVar("V")
_ADDRESS = re.compile(r"[^\s;,<>]+@[^\s;,<>]+")


class MatchEvidence(StrEnum):
    """The reason for which a customer may be a client's."""

    ID = "id"
    EMAIL = "e-mail"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class MappableClient:
    """A client as the database has it."""

    id: int
    name: str
    email: str | None = None
    country: str | None = None
    inactive: bool = False
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class StripeCustomer:
    """A customer as Stripe lists it; one that was deleted is not among them."""

    id: str
    names: tuple[str, ...] = ()
    email: str | None = None
    country: str | None = None
    client_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MatchCandidate:
    """A customer that may be the client's, by which evidence, and its names' likeness in %."""

    customer: StripeCustomer
    evidence: tuple[MatchEvidence, ...]
    likeness: int


@dataclass(frozen=True, slots=True)
class ClientMatch:
    """A client without a customer, and those that may be its own.

    Without a doubt there is exactly one candidate, and it is the client's.
    """

    client: MappableClient
    candidates: tuple[MatchCandidate, ...]
    doubt: str

    @property
    def is_certain(self) -> bool:
        return bool(self.candidates) and not self.doubt


def matches(
    clients: Sequence[MappableClient], customers: Sequence[StripeCustomer]
) -> Iterator[ClientMatch]:
    """Each active client that has no customer yet, in the order given.

    All clients belong into `clients`, also inactive ones and those that have a customer: they are
    what makes a name or an address ambiguous.
    """
    index = _Index(clients, customers)
    for client in clients:
        if client.customer_id is None and not client.inactive:
            yield index.match(client)


def stale_mappings(
    clients: Sequence[MappableClient], customers: Sequence[StripeCustomer]
) -> list[MappableClient]:
    """Clients whose customer Stripe does not have any more, or not under this key."""
    known = {one.id for one in customers}
    return [one for one in clients if one.customer_id and one.customer_id not in known]


class _Index:
    """All clients and customers, found by address, number and name."""

    def __init__(
        self, clients: Sequence[MappableClient], customers: Sequence[StripeCustomer]
    ) -> None:
        self._taken: dict[str, int] = {
            one.customer_id: one.id for one in clients if one.customer_id is not None
        }
        self._clients_of_address = _grouped(
            (address, one) for one in clients for address in _addresses(one.email)
        )
        self._customers_of_address = _grouped(
            (address, one) for one in customers for address in _addresses(one.email)
        )
        self._customers_of_id = _grouped(
            (number, one) for one in customers for number in one.client_ids
        )
        self._clients_of_name = _grouped((key, one) for one in clients for key in _keys(one.name))
        self._customers_of_name = _grouped(
            (key, one) for one in customers for name in one.names for key in _keys(name)
        )
        spelt = [
            (key, one)
            for one in customers
            for name in dict.fromkeys(one.names)
            for key in _keys(name)
        ]
        self._spelt_customers = [one for _, one in spelt]
        self._spellings = [key for key, _ in spelt]

    def match(self, client: MappableClient) -> ClientMatch:
        found = sorted(
            (_candidate(client, one) for one in self._possible(client).values()),
            key=lambda one: (-len(one.evidence), -one.likeness, one.customer.id),
        )
        free = [one for one in found if one.customer.id not in self._taken]
        if not free:
            return ClientMatch(client, tuple(found[:CANDIDATES_MAX]), self._taken_words(found))
        shown = tuple(free[:CANDIDATES_MAX])
        doubt = self._doubt(client, free[0], found)
        return ClientMatch(client, shown if doubt else shown[:1], doubt)

    def _taken_words(self, found: Sequence[MatchCandidate]) -> str:
        if not found:
            return ""
        first = found[0].customer.id
        return f"{first} is the customer of client {self._taken[first]} already"

    def _possible(self, client: MappableClient) -> dict[str, StripeCustomer]:
        found = {one.id: one for one in self._customers_of_id.get(client.id, ())}
        for address in _addresses(client.email):
            found |= {one.id: one for one in self._customers_of_address.get(address, ())}
        for key in _keys(client.name):
            found |= {one.id: one for one in self._customers_of_name.get(key, ())}
            near = process.extract(
                key,
                self._spellings,
                scorer=fuzz.token_sort_ratio,
                score_cutoff=LIKENESS_MIN,
                limit=CANDIDATES_MAX,
            )
            found |= {one.id: one for one in (self._spelt_customers[at] for *_, at in near)}
        return found

    def _doubt(
        self, client: MappableClient, best: MatchCandidate, found: Sequence[MatchCandidate]
    ) -> str:
        """The reason for which a person has to look at it, or nothing."""
        return (
            self._doubt_of_customer(client, best.customer)
            or self._doubt_of_rivals(client, best, found)
            or self._doubt_of_evidence(client, best)
        )

    def _doubt_of_customer(self, client: MappableClient, customer: StripeCustomer) -> str:
        if customer.client_ids and customer.client_ids != {client.id}:
            named = ", ".join(map(str, sorted(customer.client_ids)))
            return f"its metadata names client {named}"
        if client.country and customer.country and client.country != customer.country:
            return f"it is in {customer.country} and the client in {client.country}"
        return ""

    def _doubt_of_rivals(
        self, client: MappableClient, best: MatchCandidate, found: Sequence[MatchCandidate]
    ) -> str:
        """Nobody else may have as good a claim: no other customer, and no other client."""
        for one in found:
            if one.customer.id != best.customer.id and _is_rival(client, one):
                shared = " and ".join(one.evidence)
                return f"{one.customer.id} has the same {shared}"
        for address in _addresses(client.email) | _addresses(best.customer.email):
            others = [one.id for one in self._clients_of_address.get(address, ())]
            if len(set(others) - {client.id}):
                return f"clients {_listed({client.id, *others})} share {address}"
        for name in (client.name, *best.customer.names):
            same = {one.id for key in _keys(name) for one in self._clients_of_name.get(key, ())}
            if same - {client.id}:
                return f"clients {_listed({client.id, *same})} have one name"
        return ""

    def _doubt_of_evidence(self, client: MappableClient, best: MatchCandidate) -> str:
        has_name = any(company_name.agree(client.name, one) for one in best.customer.names)
        if MatchEvidence.EMAIL in best.evidence:
            if has_name or MatchEvidence.ID in best.evidence:
                return ""
            return "the e-mail address agrees, the name does not"
        if MatchEvidence.ID in best.evidence:
            return "" if has_name else "its metadata names the client, the name does not agree"
        if not any(company_name.is_same(client.name, one) for one in best.customer.names):
            return f"the names are {best.likeness} % alike, and nothing else agrees"
        if _domains(client.email) & _domains(best.customer.email):
            return ""
        return "only the name agrees"


def _is_rival(client: MappableClient, one: MatchCandidate) -> bool:
    """Whether a second customer has an address, a number or the whole name of the client."""
    if MatchEvidence.EMAIL in one.evidence or MatchEvidence.ID in one.evidence:
        return True
    return any(company_name.agree(client.name, name) for name in one.customer.names)


def _candidate(client: MappableClient, customer: StripeCustomer) -> MatchCandidate:
    alike = max((company_name.likeness(client.name, one) for one in customer.names), default=0)
    evidence = [
        (MatchEvidence.ID, client.id in customer.client_ids),
        (MatchEvidence.EMAIL, bool(_addresses(client.email) & _addresses(customer.email))),
        (MatchEvidence.NAME, alike >= LIKENESS_MIN),
    ]
    return MatchCandidate(customer, tuple(one for one, holds in evidence if holds), alike)


def _addresses(text: str | None) -> frozenset[str]:
    """The addresses in a field that may have several, such as `a@x.com; b@x.com`."""
    return frozenset(_ADDRESS.findall((text or "").casefold()))


def _domains(text: str | None) -> frozenset[str]:
    return frozenset(one.rpartition("@")[2] for one in _addresses(text)) - _FREE_MAIL


def _keys(name: str) -> list[str]:
    """A name's spellings without legal forms."""
    return [" ".join(one.words) for one in company_name.spellings(name)]


def _grouped(pairs: Iterable[tuple[K, V]]) -> Mapping[K, list[V]]:
    found: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found


def _listed(ids: Iterable[int]) -> str:
    return " and ".join(map(str, sorted(ids)))
