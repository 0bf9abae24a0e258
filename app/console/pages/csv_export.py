"""Lists as CSV: streamed, and safe to open in a spreadsheet."""

from collections.abc import AsyncIterator, Sequence

from starlette.datastructures import QueryParams
from starlette.responses import Response, StreamingResponse

from app.rules.spreadsheet import Cell, csv_text

# As many rows as a form names; a page has far fewer.
SELECTED_MAX = 500
# Rows that are read and sent together: a long file takes little memory.
AT_ONCE = 500
_BIGINT_MAX = 2**63 - 1


def selected_ids(params: QueryParams) -> list[int]:
    """The ticked rows; what is no id is left out."""
    given = params.getlist("id")[:SELECTED_MAX]
    numbers = (int(one) for one in given if one.isascii() and one.isdigit() and len(one) < 20)
    return [one for one in numbers if one <= _BIGINT_MAX]


def csv_response(
    name: str, header: Sequence[Cell], rows: AsyncIterator[Sequence[Cell]]
) -> Response:
    """The rows as a file, sent while they are read."""

    async def lines() -> AsyncIterator[str]:
        # A mark by which a spreadsheet knows that names are UTF-8.
        yield "\ufeff" + csv_text([header])
        some: list[Sequence[Cell]] = []
        async for row in rows:
            some.append(row)
            if len(some) >= AT_ONCE:
                yield csv_text(some)
                some = []
        yield csv_text(some)

    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=disposition)
