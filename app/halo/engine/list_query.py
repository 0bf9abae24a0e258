"""Query parameters to a ListQuery: the resource's filters, the order and the page."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from app.errors import InvalidField
from app.halo.engine.codec import RecordCodec
from app.halo.engine.filters import ListCondition, Params, is_set, parameter_value
from app.halo.engine.parsing import small

PAGE_SIZE = 50
# Without paging HaloPSA answers everything; this many invoices are a megabyte or two.
LIST_MAX = 1000
# HaloAPI for PowerShell asks for pages of 1,000 and reckons their number from that: a page that is
# silently shorter hides the other records from it.
PAGE_SIZE_MAX = LIST_MAX
# One parameter is one filter; a thousand of them is an attack.
PARAMETERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Page:
    size: int
    number: int = 1
    is_asked_for: bool = False

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A request for a list: its conditions, its order and its page."""

    conditions: Sequence[ListCondition]
    order: tuple[tuple[str, bool], ...]
    page: Page
    ids_only: bool

    @property
    def shape(self) -> tuple[object, ...]:
        """Requests of the same shape are answered by the same SELECT."""
        keys = tuple(one.key for one in self.conditions)
        return (keys, self.order, self.ids_only, self.page.is_asked_for)

    def identity(self, path: str) -> bytes:
        """A hash of the list with its filters' values, the same for each of its pages.

        A list of a thousand ids would be remembered with all of them.
        """
        given = [(one.key, list(one.values.values())) for one in self.conditions]
        return hashlib.blake2b(repr((path, given)).encode(), digest_size=16).digest()

    @property
    def is_in_id_order(self) -> bool:
        """It is asked for page by page, and sorted by nothing but the id."""
        return self.page.is_asked_for and not self.order

    @property
    def values(self) -> dict[str, Any]:
        return {name: value for one in self.conditions for name, value in one.values.items()}


def query_parameters(query_string: bytes) -> Params:
    """Names in lower case, `paymentstatuses[]` as `paymentstatuses`, every value kept."""
    try:
        pairs = parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX
        )
    except ValueError:
        raise InvalidField("query", f"holds more than {PARAMETERS_MAX} parameters") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower().removesuffix("[]"), []).append(value)
    return found


def parse_list_query(codec: RecordCodec, params: Params) -> ListQuery:
    filters = codec.resource.listing.filters
    found = [filters[name].condition(name, params) for name in params if name in filters]
    return ListQuery(
        conditions=sorted((one for one in found if one), key=lambda one: one.key),
        order=_order(codec, params),
        page=_page(params),
        ids_only=is_set(params, "idonly"),
    )


def _order(codec: RecordCodec, params: Params) -> tuple[tuple[str, bool], ...]:
    """`order` to `order5`. A name that is no field is ignored, as HaloPSA does."""
    found: dict[str, bool] = {}
    for suffix in ("", "2", "3", "4", "5"):
        name = (parameter_value(params, f"order{suffix}") or "").lower()
        if name in codec.shown:
            found.setdefault(name, is_set(params, f"orderdesc{suffix}"))
    return tuple(found.items())


def _page(params: Params) -> Page:
    if not is_set(params, "pageinate"):
        return Page(_count(params))
    size = _positive(params, "page_size", PAGE_SIZE)
    number = _positive(params, "page_no", 1)
    return Page(min(size, PAGE_SIZE_MAX), number, is_asked_for=True)


def _positive(params: Params, name: str, default: int) -> int:
    value = small(name, parameter_value(params, name))
    if value is None:
        return default
    if value < 1:
        raise InvalidField(name, f"{value} is less than 1")
    return int(value)


def _count(params: Params) -> int:
    """Clients send `count=true` as well; a value that is no number is ignored."""
    text = (parameter_value(params, "count") or "").strip()
    return min(int(text), LIST_MAX) if _is_count(text) else LIST_MAX


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0
