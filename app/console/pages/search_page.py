"""GET /search and GET /search/hits: one box for every id, number, name and amount."""

from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, _
from app.console.pages.chrome import reading, show, times_of
from app.console.pages.search_commands import find_acts
from app.console.pages.search_places import place_hits
from app.console.pages.search_reads import Hit, find_hits
from app.console.pages.search_terms import SearchTerms, search_terms
from app.console.rendering import render
from app.console.routing import Viewer, redirect
from app.storage.engines import Tx


async def search_page(request: Request, viewer: Viewer) -> Response:
    """The hits as a page; a single one is opened at once."""
    terms = search_terms(request.query_params.get("q", ""))
    async with reading(request) as tx:
        hits = await _find(tx, terms, request, viewer)
        if len(hits) == 1:
            return redirect(hits[0].href)
        return await show(
            request, viewer, tx, "search.html", query=terms.text, groups=_groups(hits),
            unknown=_unknown(terms, hits),
        )  # fmt: skip


async def search_hits(request: Request, viewer: Viewer) -> Response:
    """The hits alone, for the box while somebody types."""
    given = request.query_params.get("q", "")
    terms = search_terms(given)
    async with reading(request) as tx:
        hits = await _find(tx, terms, request, viewer)
    return render(
        request, viewer, "hits.html", query=given, groups=_groups(hits),
        unknown=_unknown(terms, hits),
    )  # fmt: skip


async def _find(tx: Tx, terms: SearchTerms, request: Request, viewer: Viewer) -> list[Hit]:
    """Actions first, for whoever types a verb means it; then records, then pages."""
    if not terms.text:
        return []
    times = times_of(request, viewer)
    acts = await find_acts(tx, terms.text, viewer.role, times)
    return [*acts, *await find_hits(tx, terms, times), *place_hits(terms.text)]


def _groups(hits: list[Hit]) -> list[tuple[str, list[Hit]]]:
    return [(name, list(some)) for name, some in groupby(hits, key=lambda one: one.group)]


_KINDS = {
    "pi": N_("a PaymentIntent"),
    "ch": N_("a charge"),
    "evt": N_("an event"),
    "re": N_("a refund"),
    "dp": N_("a dispute"),
    "po": N_("a payout"),
    "cs": N_("a checkout session"),
    "cus": N_("a customer"),
}


def _unknown(terms: SearchTerms, hits: list[Hit]) -> str:
    """Why nothing was found; a search that finds nothing shows nothing else."""
    if hits or not terms.text:
        return ""
    kind = _KINDS.get((terms.object_id or "").partition("_")[0])
    if kind:
        return _(
            "It looks like %(kind)s of another Stripe account, or one not told to us yet.",
            kind=kind,
        )
    return _(
        "Ids and e-mail addresses are found whole, names and numbers by three letters or more."
    )
