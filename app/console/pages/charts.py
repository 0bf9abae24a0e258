"""The chart part: bars that the server draws as SVG, and the figures as a table behind them.

Each series has a scale of its own, for amounts of two currencies are never compared.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from app.console.language import _, ngettext
from app.console.pages.wording import ViewerTime, shown_amount

# Series that are drawn: as many as a glance takes in.
DRAWN_MAX = 4
# Days that are all named below their bars.
_DAYS_NAMED = 16
_HEIGHT = Decimal(38)
_STEP = 10
_BAR = 7


class ChartSeries(NamedTuple):
    """Values of one kind, and in words: the table's cells, the figure that counts, the finding."""

    name: str
    values: Sequence[Decimal]
    cells: Sequence[str]
    figure: str
    summary: str
    # The sentence that the picture says, for those who do not see it.
    finding: str
    # The value of a whole bar; without it the largest value is.
    top: Decimal | None = None


class ChartBar(NamedTuple):
    x: str
    y: str
    width: str
    height: str
    is_now: bool


class ChartRow(NamedTuple):
    """One series with its bars."""

    series: ChartSeries
    bars: Sequence[ChartBar]


class BarChart(NamedTuple):
    """The fullest series as bars; the table behind them has all."""

    title: str
    kind: str
    width: int
    drawn: Sequence[ChartRow]
    rows: Sequence[ChartRow]
    axis: Sequence[str]
    columns: Sequence[str]


def bar_chart(
    title: str,
    kind: str,
    series: Sequence[ChartSeries],
    *,
    axis: Sequence[str],
    columns: Sequence[str],
    now: int | None = None,
) -> BarChart:
    """`kind` heads the column of names; `axis` is below the bars, `columns` above the table.

    The bar at the place `now` is today's.
    """
    rows = [ChartRow(one, _bars(one, now)) for one in series]
    fullest = sorted(rows, key=lambda row: -len(row.bars))[:DRAWN_MAX]
    drawn = [row for row in rows if row in fullest]
    return BarChart(title, kind, len(columns) * _STEP, drawn, rows, axis, columns)


def money_by_day(
    title: str,
    days: Sequence[date],
    amounts: Mapping[str, Sequence[Decimal]],
    times: ViewerTime,
    *,
    is_figure_today: bool = False,
) -> BarChart:
    """Amounts of each currency by day; the figure is today's, or the sum of all days."""
    series = [
        _currency(name, amounts[name], days, times, is_figure_today=is_figure_today)
        for name in sorted(amounts)
    ]
    now = days.index(times.today) if times.today in days else None
    columns = [times.day(day) for day in days]
    return bar_chart(title, _("Currency"), series, axis=day_axis(days), columns=columns, now=now)


def day_axis(days: Sequence[date]) -> list[str]:
    """The day of the month below each bar; of many days below every fifth, the last one with it."""
    step = 1 if len(days) <= _DAYS_NAMED else 5
    last = len(days) - 1
    return [str(day.day) if (last - place) % step == 0 else "" for place, day in enumerate(days)]


def _currency(
    currency: str,
    amounts: Sequence[Decimal],
    days: Sequence[date],
    times: ViewerTime,
    *,
    is_figure_today: bool,
) -> ChartSeries:
    whole = shown_amount(sum(amounts, Decimal(0)), currency)
    today = sum(
        (one for day, one in zip(days, amounts, strict=True) if day == times.today), Decimal(0)
    )
    shown_today, span = (
        shown_amount(today, currency).number,
        ngettext("%(num)s day", "%(num)s days", len(days)),
    )
    finding = _(
        "%(currency)s by day, %(day)s to %(day_2)s: today %(shown_today)s, %(span)s %(whole)s",
        currency=whole.currency,
        day=times.day(days[0]),
        day_2=times.day(days[-1]),
        shown_today=shown_today,
        span=span,
        whole=whole.number,
    )
    cells = [shown_amount(amount, currency).number for amount in amounts]
    figure, summary = (
        (shown_today, _("%(whole)s in %(span)s", whole=whole.number, span=span))
        if is_figure_today
        else (whole.number, _("in %(span)s", span=span))
    )
    return ChartSeries(whole.currency, amounts, cells, figure, summary, finding)


def _bars(series: ChartSeries, now: int | None) -> list[ChartBar]:
    top = series.top or max(series.values, default=Decimal(0))
    return [
        _bar(place, value, top, is_now=place == now)
        for place, value in enumerate(series.values)
        if value > 0
    ]


def _bar(place: int, value: Decimal, top: Decimal, *, is_now: bool) -> ChartBar:
    height = max(value / top * _HEIGHT, Decimal("0.6"))
    left = place * _STEP + (_STEP - _BAR) / 2
    return ChartBar(f"{left:.1f}", f"{40 - height:.1f}", str(_BAR), f"{height:.1f}", is_now)
