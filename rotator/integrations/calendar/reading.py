"""The events of an iCalendar file (RFC 5545) as stretches of time.

icalendar and recurring-ical-events pass over much of what they cannot read: an event whose zone
nobody knows gets none, a rule without FREQ is dropped, a file that was cut off is empty. A blackout
that is passed over would be a rotation in the middle of it. So all that decides when an event is,
is looked at here, and refused where it is not certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from rotator import installed, plain
from rotator.errors import ConfigError, PermanentError
from rotator.schedules import zones
from rotator.schedules.blackouts import Calendar, Span
from rotator.shown import tidy

_BIGGEST = 5_000_000  # bytes
_AHEAD = 3  # years that are reckoned when it is read, so that what is wrong shows now
_MARGIN = timedelta(days=2)  # more than any zone lies apart from UTC
# What decides when an event is, and whether; None is a line that is none.
_DECIDES = (
    "DTSTART",
    "DTEND",
    "DURATION",
    "RRULE",
    "RDATE",
    "EXDATE",
    "RECURRENCE-ID",
    "STATUS",
    None,
)
_TIMES = ("DTSTART", "DTEND", "RDATE", "EXDATE", "RECURRENCE-ID")
_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")
_PARTS = re.compile(r"^BEGIN:(VCALENDAR|VEVENT)[ \t]*$", re.M | re.I)
_HINT = "export it anew; `rotator validate` says whether it can be read"
# What both packages raise of content that they cannot use, and what follows from it.
_UNUSABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def read(path: str, zone: str) -> Calendar:
    """All events that are not cancelled. A day, or a time without a zone, is one in `zone`.

    Raises ConfigError.
    """
    try:
        text = plain.text(Path(path), _BIGGEST)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", _HINT) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", "is it there?") from error
    except PermanentError as error:
        raise ConfigError(error.message, error.hint) from error
    try:
        found = _Events(Path(path).name, zone, _parsed(text))
        year = datetime.now(UTC).year
        for one in range(year - 1, year + _AHEAD):
            found.reckoned(one)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path}: needs {error.name}", installed.way_to("calendar")) from error
    except _UNUSABLE as error:
        words = tidy(str(error).split("\n")[0]) or type(error).__name__
        raise ConfigError(f"{path} is not usable as a calendar: {words}", _HINT) from error
    return Calendar(found.of_year)


class _Events:
    def __init__(self, name: str, zone: str, queries: list[Any]) -> None:
        self._name, self._zone, self._queries = name, zone, queries
        self.of_year = lru_cache(maxsize=64)(self._of_year)

    def _of_year(self, year: int) -> tuple[Span, ...]:
        try:
            return self.reckoned(year)
        except _UNUSABLE:  # what is not known is no time in which anything may begin
            begin, end = (datetime(one, 1, 1, tzinfo=UTC).timestamp() for one in (year, year + 1))
            return (Span(begin, end, f"{self._name}, whose {year} cannot be reckoned"),)

    def reckoned(self, year: int) -> tuple[Span, ...]:
        begin, end = (datetime(one, 1, 1, tzinfo=UTC) for one in (year, year + 1))
        return tuple(
            sorted(
                (
                    self._span(event)
                    for query in self._queries
                    for event in query.between(begin - _MARGIN, end + _MARGIN)
                    if str(event.get("STATUS", "")).upper() != "CANCELLED"
                ),
                key=lambda one: (one.begin, one.end),
            )
        )

    def _span(self, event: Any) -> Span:
        summary = tidy(str(event.get("SUMMARY", "")))
        name = f"{summary} ({self._name})" if summary else self._name
        return Span(self._moment(event.start), self._moment(event.end), name)

    def _moment(self, at: date | datetime) -> float:
        if isinstance(at, datetime) and at.tzinfo is not None:
            return at.timestamp()
        shown = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day)
        return zones.moment(self._zone, shown.replace(tzinfo=UTC).timestamp())


def _parsed(text: str) -> list[Any]:
    """Raises ValueError with what is wrong, ModuleNotFoundError."""
    import icalendar  # late: an extra, and heavy
    import recurring_ical_events

    begun = [one[1].upper() for one in _PARTS.finditer(text)]
    calendars = icalendar.Calendar.from_ical(text, multiple=True)
    if not calendars or any(one.name != "VCALENDAR" for one in calendars):
        raise ValueError("it holds no VCALENDAR that ends")
    events = [event for one in calendars for event in one.walk("VEVENT")]
    if begun.count("VCALENDAR") != len(calendars) or begun.count("VEVENT") != len(events):
        raise ValueError("a part of it does not end: it was cut off")
    for one in calendars:
        if one.walk("VFREEBUSY"):
            raise ValueError("it has times of VFREEBUSY; events (VEVENT) alone are read")
    for event in events:
        words = tidy(str(event.get("SUMMARY") or event.get("UID") or ""))
        _refuse(event, f"the event '{words}'")
    for one in calendars:
        _refuse_two(one.walk("VEVENT"))
    return [recurring_ical_events.of(one) for one in calendars]


def _refuse(event: Any, what: str) -> None:
    """Raises ValueError for an event of which nobody knows when it is."""
    for name, why in event.errors:
        if name in _DECIDES:
            raise ValueError(f"{what}: {name or 'a line'}: {why}")
    if "DTSTART" not in event:
        raise ValueError(f"{what} has no DTSTART")
    for name in _TIMES:
        for one in _several(event.get(name)):
            if one.params.get("TZID") and not _has_zone(one):
                raise ValueError(f"{what}: nobody knows its zone {one.params['TZID']}")
    start, end, lasts = event["DTSTART"].dt, event.get("DTEND"), event.get("DURATION")
    if end is not None and (type(end.dt) is not type(start) or _is_before(end.dt, start)):
        raise ValueError(f"{what} ends before it begins, or not as it begins")
    if lasts is not None and lasts.dt < timedelta():
        raise ValueError(f"{what} ends before it begins")
    for rule in _several(event.get("RRULE")):
        _refuse_rule(rule, start, what)


def _refuse_two(events: list[Any]) -> None:
    """Raises ValueError for two events that say of themselves that they are one, at other times:
    one of them would be passed over.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for event in events:
        uid, *others = (_written(event, name) for name in ("UID", "RECURRENCE-ID", "SEQUENCE"))
        if not uid:
            continue  # each is one of its own
        times = [_written(event, name) for name in _DECIDES if name is not None]
        if found.setdefault((uid, *others), times) != times:
            words = tidy(str(event.get("SUMMARY") or event["UID"]))
            raise ValueError(f"the event '{words}' has the UID of another one")


def _written(event: Any, name: str) -> str:
    """What a property says, with its zone; '' where there is none."""
    several = _several(event.get(name))
    return " ".join(f"{one.params.get('TZID', '')}{one.to_ical().decode()}" for one in several)


def _refuse_rule(rule: Any, start: date | datetime, what: str) -> None:
    often = [str(one).upper() for one in rule.get("FREQ", [])]
    if not often:
        raise ValueError(f"{what}: its RRULE has no FREQ")
    if often[0] in _OFTEN:
        raise ValueError(f"{what} comes more than once a day (FREQ={often[0]})")
    # With a time, a day alone would leave out what comes later on the last day.
    if any(type(one) is not type(start) for one in rule.get("UNTIL", [])):
        raise ValueError(f"{what}: its UNTIL is not of the kind of its DTSTART")


def _several(value: Any) -> Iterator[Any]:
    if value is not None:
        yield from value if isinstance(value, list) else [value]


def _has_zone(value: Any) -> bool:
    several = [one.dt for one in value.dts] if hasattr(value, "dts") else [value.dt]
    firsts = [one[0] if isinstance(one, tuple) else one for one in several]
    return all(not isinstance(one, datetime) or one.tzinfo is not None for one in firsts)


def _is_before(end: date | datetime, start: date | datetime) -> bool:
    if isinstance(end, datetime) and isinstance(start, datetime):
        if (end.tzinfo is None) is not (start.tzinfo is None):
            return True
    return end < start
