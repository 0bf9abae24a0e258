"""A story: what happened, newest first, each entry with its time, its cause and its proof."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from app.console.pages.wording import ShownAmount, ShownMoment, Tone, ViewerTime


class Phrase(NamedTuple):
    """A part of a sentence: plain, strong, or a link."""

    text: str
    is_strong: bool = False
    href: str | None = None


class Happening(NamedTuple):
    """Something that happened. `by` says who did it or which rule decided."""

    at: datetime
    icon: str
    title: str
    tone: Tone = Tone.NONE
    amount: ShownAmount | None = None
    text: str | None = None
    by: str | None = None
    event_id: str | None = None
    is_minor: bool = False
    # Within one second, which is as exact as Stripe is: what is larger happened later.
    order: int = 0


class StoryEntry(NamedTuple):
    """A happening with its time as the viewer reads it."""

    at: ShownMoment
    icon: str
    title: str
    tone: Tone
    amount: ShownAmount | None
    text: str | None
    by: str | None
    event_id: str | None
    is_minor: bool


class StoryDay(NamedTuple):
    heading: str
    entries: Sequence[StoryEntry]


def story_days(happenings: Iterable[Happening], times: ViewerTime) -> list[StoryDay]:
    """The happenings by the viewer's days, the newest first."""
    days: dict[str, list[StoryEntry]] = {}
    for one in sorted(happenings, key=_place, reverse=True):
        shown = StoryEntry(
            times.moment(one.at),
            one.icon,
            one.title,
            one.tone,
            one.amount,
            one.text,
            one.by,
            one.event_id,
            one.is_minor,
        )
        days.setdefault(times.long_day(shown.at.day), []).append(shown)
    return [StoryDay(heading, entries) for heading, entries in days.items()]


def _place(one: Happening) -> tuple[datetime, int, datetime]:
    return one.at.replace(microsecond=0), one.order, one.at
