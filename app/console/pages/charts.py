"""Bars by day, as figures for an SVG that the server draws; each currency on a scale of its own."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from app.console.pages.wording import ViewerTime, shown_amount

# Currencies that are drawn: as many as a glance takes in.
DRAWN_MAX = 4
_HEIGHT = Decimal(38)
_STEP = 10
_BAR = 7


class ChartBar(NamedTuple):
    x: str
    y: str
    width: str
    height: str
    is_now: bool


class ChartRow(NamedTuple):
    """One currency: its bars, the sentence that says what they show, and the figures behind."""

    currency: str
    bars: Sequence[ChartBar]
    finding: str
    today: str
    summary: str
    cells: Sequence[str]


class BarChart(NamedTuple):
    """The busiest currencies as bars; the table behind them has all."""

    title: str
    width: int
    drawn: Sequence[ChartRow]
    rows: Sequence[ChartRow]
    axis: Sequence[str]
    days: Sequence[str]


def bar_chart(
    title: str, days: Sequence[date], amounts: dict[str, Sequence[Decimal]], times: ViewerTime
) -> BarChart:
    """The amounts of each currency by day; the last day is today."""
    rows = [_row(currency, amounts[currency], days, times) for currency in sorted(amounts)]
    busiest = sorted(rows, key=lambda row: -len(row.bars))[:DRAWN_MAX]
    drawn = [row for row in rows if row in busiest]
    axis = [str(day.day) for day in days]
    return BarChart(title, len(days) * _STEP, drawn, rows, axis, [times.day(day) for day in days])


def _row(
    currency: str, amounts: Sequence[Decimal], days: Sequence[date], times: ViewerTime
) -> ChartRow:
    top = max(amounts, default=Decimal(0))
    bars = [
        _bar(place, amount, top, is_now=place == len(amounts) - 1)
        for place, amount in enumerate(amounts)
        if amount > 0
    ]
    whole = shown_amount(sum(amounts, Decimal(0)), currency)
    today = shown_amount(amounts[-1], currency)
    span = f"{len(days)} days"
    finding = (
        f"{whole.currency} by day, {times.day(days[0])} to {times.day(days[-1])}: "
        f"today {today.number}, {span} {whole.number}"
    )
    cells = [shown_amount(amount, currency).number for amount in amounts]
    summary = f"{whole.number} in {span}"
    return ChartRow(whole.currency, bars, finding, today.number, summary, cells)


def _bar(place: int, amount: Decimal, top: Decimal, *, is_now: bool) -> ChartBar:
    height = max(amount / top * _HEIGHT, Decimal("0.6"))
    left = place * _STEP + (_STEP - _BAR) / 2
    return ChartBar(f"{left:.1f}", f"{40 - height:.1f}", str(_BAR), f"{height:.1f}", is_now)
