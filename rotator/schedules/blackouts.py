"""What holds rotations back by the clock: times of the week, times that come once, and calendars
that somebody else keeps. Each has a name, by which it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from rotator.schedules import zones
from rotator.schedules.windows import DAY, Window, moment, window

Entry = str | Mapping[str, Any]  # as it is written: `fri 16:00-24:00`, or {from, to}
_FORMS = "'fri 16:00-24:00', {from: 2026-12-20, to: 2027-01-03} or {calendar: freeze.ics}"


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin` up to `end` (Unix seconds)."""

    begin: float
    end: float
    name: str = ""


class Blackout(Protocol):
    """Something in which nothing begins."""

    def name_at(self, at: float) -> str | None:
        """What it is called, where it covers this moment; None where it does not."""

    def edges(self, begin: float, end: float) -> Iterable[float]:
        """Moments from `begin` on, before `end`, at which it may begin or end."""


@dataclass(frozen=True, slots=True)
class Weekly:
    """Times that come back each week, on the wall clock of a zone, each with its name."""

    zone: str
    windows: tuple[tuple[Window, str], ...]

    def name_at(self, at: float) -> str | None:
        wall = zones.wall(self.zone, at)
        return next((name for one, name in self.windows if one.has(wall)), None)

    def edges(self, begin: float, end: float) -> Iterable[float]:
        for stretch in zones.stretches(self.zone, begin):
            if stretch.begin >= end:
                return
            first, last = max(begin, stretch.begin), min(end, stretch.end)
            yield first  # where clocks jump, it may begin or end, too
            for one, _ in self.windows:
                for wall in one.edges(first + stretch.offset, last + stretch.offset):
                    yield wall - stretch.offset


@dataclass(frozen=True, slots=True)
class Once:
    """Times that come once."""

    spans: tuple[Span, ...]

    def name_at(self, at: float) -> str | None:
        return _covering(self.spans, at)

    def edges(self, begin: float, end: float) -> Iterable[float]:
        return _edges(self.spans, begin, end)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Times that somebody else keeps. `of_year` gives all that touch a year (UTC), with what lies
    beyond it; it is asked again and again, and must answer the same.
    """

    of_year: Callable[[int], Sequence[Span]]

    def name_at(self, at: float) -> str | None:
        return _covering(self.of_year(_year(at)), at)

    def edges(self, begin: float, end: float) -> Iterable[float]:
        for year in range(_year(begin), _year(end) + 1):
            yield from _edges(self.of_year(year), begin, end)


@dataclass(frozen=True, slots=True)
class Always:
    """Without end: of what cannot be known, nothing is inferred."""

    name: str

    def name_at(self, at: float) -> str | None:
        return self.name

    def edges(self, begin: float, end: float) -> Iterable[float]:
        return ()


def _covering(spans: Iterable[Span], at: float) -> str | None:
    """The name of the one that lasts longest."""
    found = [one for one in spans if one.begin <= at < one.end]
    return max(found, key=lambda one: one.end).name if found else None


def _edges(spans: Iterable[Span], begin: float, end: float) -> Iterable[float]:
    return (edge for one in spans for edge in (one.begin, one.end) if begin <= edge < end)


def _year(at: float) -> int:
    return datetime.fromtimestamp(at, UTC).year


def span(begin: str, end: str, zone: str) -> Span:
    """From and to as dates or times in this zone; a date as the end means that whole day.

    Raises ValueError with the sentence that validation shows.
    """
    found = Span(moment(begin, zone), moment(end, zone, DAY), f"{begin} to {end}")
    if found.end <= found.begin:
        raise ValueError(f"{end} does not come after {begin}")
    return found


def of_entries(entries: Iterable[Entry], zone: str) -> tuple[Blackout, ...]:
    """Those that are written out; calendars are left to who can read them.

    Raises ValueError with the sentence that validation shows.
    """
    weekly, spans = [], []
    for entry in entries:
        if isinstance(entry, str):
            weekly.append((window(entry), entry))
        elif isinstance(entry, Mapping) and entry.keys() == {"from", "to"}:
            spans.append(span(str(entry["from"]), str(entry["to"]), zone))
        elif not isinstance(entry, Mapping) or entry.keys() != {"calendar"}:
            raise ValueError(f"a blackout is {_FORMS}")
        elif not isinstance(entry["calendar"], str) or not entry["calendar"]:
            raise ValueError("`calendar` names a file of iCalendar, for instance freeze.ics")
    found: list[Blackout] = [Weekly(zone, tuple(weekly))] if weekly else []
    return tuple([*found, Once(tuple(spans))] if spans else found)


def calendars(entries: Iterable[Entry]) -> list[str]:
    """The files that entries name."""
    return [
        str(one["calendar"]) for one in entries if isinstance(one, Mapping) and "calendar" in one
    ]
