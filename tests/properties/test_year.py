"""A year of virtual time: playbooks of every shape of schedule, in four zones, by the agenda as the
daemon asks it; against an oracle that walks minute by minute and knows nothing of the rules' code.

June 2011 to June 2012: Berlin and New York set their clocks by an hour, Lord Howe by half of one,
Apia leaves out a whole day (30 December), and there is a leap day. The machine is restarted, sleeps,
and its clock is set in both directions.
"""

from __future__ import annotations

import json
import os
import random
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from rotator.engine.agenda import Agenda
from rotator.playbook.directory import Directory
from rotator.settings import Settings
from rotator.usecases.service import Service

PLAYBOOKS = int(os.environ.get("ROTATOR_YEAR", "60" if os.environ.get("ROTATOR_FULL") else "20"))
BEGIN = int(datetime(2011, 6, 1, tzinfo=UTC).timestamp())
MINUTES = 366 * 1440
END = BEGIN + MINUTES * 60
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
CRONS = (
    "30 2 * * *",
    "0 3 * * 0",
    "15 1 1 * *",
    "0 0 * * 1-5",
    "45 23 28-31 * *",
    "0 2 29 2 *",
    "30 * * * 6",
    "5 4 13 * 5",
    "10 2 1,15 * *",
    "59 1 * 3,10,11 *",
)
WINDOWS = ("", "mon-fri 09:00-17:00", "sat,sun 00:00-24:00", "02:00-03:00", "wed 01:30-02:15")
BLACKOUTS: tuple[Any, ...] = (
    None,
    "fri 16:00-24:00",
    {"from": "2011-12-20", "to": "2012-01-03"},
    {"from": "2012-02-28", "to": "2012-02-29"},
)
# Events of a calendar by name: as they stand in its file, and what they mean on a clock there.
EVENTS: dict[str, tuple[str, Callable[[datetime], bool]]] = {
    "fridays": (
        "DTSTART;TZID={zone}:20110603T160000\nDTEND;TZID={zone}:20110603T200000\nRRULE:FREQ=WEEKLY",
        lambda at: at.weekday() == 4 and 16 <= at.hour < 20,
    ),
    "nights": (  # over midnight, in summer's and winter's first night, too; not on two days
        "DTSTART;TZID={zone}:20100101T210000\nDURATION:PT13H\nRRULE:FREQ=WEEKLY;BYDAY=SA\n"
        "EXDATE;TZID={zone}:20110709T210000,20111022T210000",
        lambda at: (
            (at.weekday() == 5 and at.hour >= 21 and at.date() not in NO_NIGHTS)
            or (at.weekday() == 6 and at.hour < 10 and at.date() - ONE_DAY not in NO_NIGHTS)
        ),
    ),
    "month's end": (  # all day, on the wall clock of the schedule
        "DTSTART;VALUE=DATE:20100131\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1",
        lambda at: (at.replace(tzinfo=None) + ONE_DAY).day == 1,
    ),
    "last friday": (
        "DTSTART:20100129T080000\nDTEND:20100129T180000\nRRULE:FREQ=MONTHLY;BYDAY=-1FR",
        lambda at: (
            at.weekday() == 4
            and at.day > monthrange(at.year, at.month)[1] - 7
            and 8 <= at.hour < 18
        ),
    ),
    "christmas": (
        "DTSTART;VALUE=DATE:20111220\nDTEND;VALUE=DATE:20120104",
        lambda at: "2011-12-20" <= f"{at:%Y-%m-%d}" < "2012-01-04",
    ),
    "moved": (  # each day at noon in September; on the 10th in the evening, on the 20th not at all
        "DTSTART;TZID={zone}:20110901T120000\nDTEND;TZID={zone}:20110901T130000\n"
        "RRULE:FREQ=DAILY;COUNT=30\nEND:VEVENT\nBEGIN:VEVENT\nUID:moved\n"
        "DTSTART;TZID={zone}:20110910T180000\nDTEND;TZID={zone}:20110910T200000\n"
        "RECURRENCE-ID;TZID={zone}:20110910T120000\nEND:VEVENT\nBEGIN:VEVENT\nUID:moved\n"
        "DTSTART;TZID={zone}:20110920T120000\nDTEND;TZID={zone}:20110920T130000\n"
        "RECURRENCE-ID;TZID={zone}:20110920T120000\nSTATUS:CANCELLED",
        lambda at: (
            (at.year, at.month) == (2011, 9)
            and (18 <= at.hour < 20 if at.day == 10 else at.hour == 12 and at.day != 20)
        ),
    ),
}
CALENDARS = (("fridays",), ("nights", "christmas"), ("month's end", "last friday"), ("moved",))
BLACKOUTS += tuple({"calendar": " ".join(names)} for names in CALENDARS)
NO_NIGHTS = (date(2011, 7, 9), date(2011, 10, 22))
ONE_DAY = timedelta(days=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Wall-clock minutes from the beginning in which nobody looks: nights of a laptop, a long journey.
ASLEEP = ((20_000, 20_600), (90_000, 118_800), (307_000, 307_180), (395_000, 396_000))
RESTARTS = (50_000, 150_000, 307_500, 420_000)
SET_BACK = (200_000, 90)  # at this minute the clock is set back by so many


# --- the oracle: local clocks, minute by minute ---
@cache
def clocks(zone: str) -> list[datetime]:
    """What a clock on the wall shows at each minute."""
    there = ZoneInfo(zone)
    return [datetime.fromtimestamp(BEGIN + n * 60, UTC).astimezone(there) for n in range(MINUTES)]


@cache
def gaps(zone: str) -> list[int]:
    """Minutes before which clocks were set forward."""
    shown = [at.replace(tzinfo=None) for at in clocks(zone)]
    usual = timedelta(minutes=1)
    return [n for n in range(1, MINUTES) if shown[n] - shown[n - 1] > usual]


def _fits(cron: str, at: datetime) -> bool:
    minute, hour, day, month, weekday = cron.split()
    if not (_in(minute, at.minute) and _in(hour, at.hour) and _in(month, at.month)):
        return False
    days = _in(day, at.day), _in(weekday, at.isoweekday() % 7)
    return all(days) if "*" in (day, weekday) else any(days)


@cache
def _in(part: str, value: int) -> bool:
    for one in part.split(","):
        low, _, high = one.partition("-")
        if one == "*" or int(low) <= value <= int(high or low):
            return True
    return False


@cache
def moments(cron: str, zone: str) -> list[int]:
    """Minutes at which it is due. A fixed time comes once in a repeated hour, and at once after
    one that is left out.
    """
    shown, minute = clocks(zone), cron.split()[0]
    fixed = "*" not in cron.split()[:2]
    found = {
        n
        for n, at in enumerate(shown)
        if _in(minute, at.minute) and _fits(cron, at) and not (fixed and at.fold)
    }
    for n in gaps(zone) if fixed else ():
        left_out = shown[n - 1].replace(tzinfo=None) + timedelta(minutes=1)
        while left_out < shown[n].replace(tzinfo=None):
            found |= {n} if _fits(cron, left_out) else set()
            left_out += timedelta(minutes=1)
    return sorted(found)


@cache
def weeks(zone: str) -> list[str]:
    """Weekday and time at each minute, as text."""
    return [f"{DAYS[at.weekday()]} {at:%H:%M}" for at in clocks(zone)]


@cache
def dates(zone: str) -> list[str]:
    return [f"{at:%Y-%m-%d}" for at in clocks(zone)]


@cache
def within(window: str, zone: str) -> bytes:
    """For each minute whether a clock shows a time in it."""
    shows = cache(partial(_open, window))
    return bytes(map(shows, weeks(zone)))


@cache
def allowed(window: str, blackout: str, zone: str) -> tuple[bytes, bytes]:
    """For each minute: may it begin, and may it where no window holds it back?"""
    dark = json.loads(blackout)
    if isinstance(dark, str):
        without = bytes(1 - one for one in within(dark, zone))
    elif dark and "calendar" in dark:
        without = bytes(1 - one for one in in_calendar(dark["calendar"], zone))
    elif dark:
        without = bytes(not dark["from"] <= day <= dark["to"] for day in dates(zone))
    else:
        without = b"\1" * MINUTES
    return (_both(without, within(window, zone)) if window else without), without


@cache
def in_calendar(name: str, zone: str) -> bytes:
    """For each minute whether it lies in an event of this calendar."""
    names = next(one for one in CALENDARS if " ".join(one) == name)
    means = [EVENTS[one][1] for one in names]
    return bytes(any(one(at) for one in means) for at in clocks(zone))


def calendar_text(names: tuple[str, ...], zone: str) -> str:
    """As a program writes it that keeps calendars."""
    events = "".join(
        f"BEGIN:VEVENT\nUID:{name}\nSUMMARY:{name}\n{EVENTS[name][0].format(zone=zone)}\nEND:VEVENT\n"
        for name in names
    )
    head = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//\n"
    return f"{head}{events}END:VCALENDAR\n".replace("\n", "\r\n")


def _open(window: str, at: str) -> bool:
    days, _, times = window.rpartition(" ")
    if days and at[:3] not in _weekdays(days):
        return False
    opens, closes = times.split("-")
    return opens <= at[4:] < closes


def _weekdays(days: str) -> Iterator[str]:
    for one in days.split(","):
        low, _, high = one.partition("-")
        yield from DAYS[DAYS.index(low) : DAYS.index(high or low) + 1]


# --- one playbook ---
@dataclass
class Plan:
    """A schedule, and how often its playbook is to be rotated, by the oracle."""

    name: str
    zone: str
    every: float  # seconds; 0: by cron
    cron: str
    window: str
    blackout: Any
    not_before: str
    max_overdue: float
    expected: list[float] = field(default_factory=list)

    def text(self) -> str:
        schedule: dict[str, Any] = {"timezone": self.zone}
        schedule |= {"every": f"{self.every:.0f}s"} if self.every else {"cron": self.cron}
        schedule |= {"window": self.window} if self.window else {}
        schedule |= {"blackout": [self._written()]} if self.blackout else {}
        schedule |= {"not_before": self.not_before} if self.not_before else {}
        schedule |= {"max_overdue": f"{self.max_overdue:.0f}s"} if self.max_overdue else {}
        return json.dumps(
            {
                "schedule": schedule,
                "generate": {"uses": "memory", "issuer": self.name},
                "store": [{"uses": "memory", "cell": self.name}],
                "restart": [{"uses": "memory", "consumers": [self.name]}],
            }
        )

    def _written(self) -> Any:
        """A calendar is a file beside the playbooks."""
        if isinstance(self.blackout, dict) and "calendar" in self.blackout:
            return {"calendar": calendar_file(self.blackout["calendar"], self.zone)}
        return self.blackout

    def foresee(self, awake: bytes) -> None:
        """Walk the year."""
        with_window, without = allowed(self.window, json.dumps(self.blackout), self.zone)
        open_, lit = _both(with_window, awake), _both(without, awake)
        since: float | None = None
        while (begins := self._next(since, open_, lit)) is not None:
            self.expected.append(begins)
            if since is None or not self.every:
                since = begins
            else:
                since += (begins - since) // self.every * self.every

    def _next(self, since: float | None, open_: bytes, lit: bytes) -> float | None:
        due = self._due(since)
        if due is None:
            return None
        earliest = max(due, self._not_before())
        begins = _first(open_, earliest)
        if self.window and self.max_overdue and since is not None:
            late = _first(lit, max(earliest, due + self.max_overdue))
            begins = min((one for one in (begins, late) if one is not None), default=None)
        return begins

    def _due(self, since: float | None) -> float | None:
        if since is None:
            return float(BEGIN)
        if self.every:
            return since + self.every
        at = moments(self.cron, self.zone)
        later = bisect_right(at, (since - BEGIN) / 60)
        return BEGIN + at[later] * 60.0 if later < len(at) else None

    def _not_before(self) -> float:
        if not self.not_before:
            return float(BEGIN)
        there = datetime.fromisoformat(self.not_before).replace(tzinfo=ZoneInfo(self.zone))
        return max(float(BEGIN), there.timestamp())


def _both(one: bytes, other: bytes) -> bytes:
    size = len(one)  # as numbers of so many bytes: 0 or 1 in each
    return (int.from_bytes(one) & int.from_bytes(other)).to_bytes(size)


def _first(may: bytes, at: float) -> float | None:
    """The first moment from `at` on that lies in a minute in which it may."""
    minute = max(0, int((at - BEGIN) // 60))
    found = may.find(1, minute)
    if found < 0:
        return None
    return max(at, BEGIN + found * 60.0)


def calendar_file(name: str, zone: str) -> str:
    return f"{name} {zone}.ics".replace("/", "-")


def plans(number: int) -> list[Plan]:
    chance = random.Random(17)
    found = []
    for n in range(number):
        every = chance.choice((0.0, 0.0, 7, 30, 45, 90.5, 1.3)) * 86_400.0
        cron, window = chance.choice(CRONS), chance.choice(WINDOWS)
        found.append(
            Plan(
                f"p{n:04}",
                ZONES[n % len(ZONES)],
                every,
                cron,
                window,
                chance.choice(BLACKOUTS),
                chance.choice(("", "", "2011-09-01")),
                chance.choice((0.0, 0.0, 3 * 86_400.0)) if window else 0.0,
            )
        )
    return found


# --- the machine ---
def segments() -> Iterator[tuple[float, float]]:
    """Stretches of wall-clock time in which somebody looks. At the last but one edge the clock is
    set back: the time before it comes twice.
    """
    edges = [0, *(one for pair in ASLEEP for one in pair), MINUTES]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        at, back = SET_BACK
        if begin < at < end:
            yield BEGIN + begin * 60.0, BEGIN + at * 60.0
            yield BEGIN + (at - back) * 60.0, BEGIN + end * 60.0
        else:
            yield BEGIN + begin * 60.0, BEGIN + end * 60.0


class Machine:
    """The daemon's loop in virtual time: it wakes at the earliest moment that it is told."""

    def __init__(self, folder: Path) -> None:
        (folder / "playbooks").mkdir()
        settings = Settings(folder, playbooks=(folder / "playbooks",))
        self.service = Service(settings, "test")
        self.directory = Directory((folder / "playbooks",))
        self.rotated: dict[str, list[float]] = {}

    def run(self) -> None:
        agenda, restarts = Agenda(self.service.journal), [BEGIN + n * 60.0 for n in RESTARTS]
        for now, end in segments():
            while now < end:
                if restarts and now >= restarts[0]:
                    restarts.pop(0)
                    agenda = Agenda(self.service.journal)
                names = agenda.due(self.directory.load(), now, exactly=True)
                for name in sorted(names):
                    self._rotate(name, now)
                earliest = agenda.earliest()
                assert earliest is not None
                # As the loop does: what is due now is looked at again a moment later.
                now = max(earliest, now) if earliest > now or names else now + 60.0
                now = now if earliest > 0.0 else now - 60.0 * (not names) + 1e-3

    def _rotate(self, name: str, now: float) -> None:
        """What a rotation that succeeds leaves in the journal."""
        self.rotated.setdefault(name, []).append(now)
        playbook = self.directory.load().playbooks[name]
        with self.service.journal.database.write() as connection:
            row = connection.execute(
                text("SELECT counts_from FROM playbooks WHERE name = :name"), {"name": name}
            ).first()
            values = {
                "name": name,
                "at": now,
                "of": playbook.belongs_to(row[0] if row else None, now),
            }
            if row is None:
                connection.execute(
                    text("INSERT INTO playbooks (name, definition) VALUES (:name, '{}')"), values
                )
            connection.execute(
                text(
                    "UPDATE playbooks SET last_success = :at, counts_from = :of, due = NULL"
                    " WHERE name = :name"
                ),
                values,
            )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_year_of_every_shape_of_schedule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every, awake = plans(PLAYBOOKS), bytearray(b"\1" * MINUTES)
    for begin, end in ASLEEP:
        awake[begin:end] = bytes(end - begin)
    machine = Machine(tmp_path)
    for zone in ZONES:
        for names in CALENDARS:
            path = tmp_path / "playbooks" / calendar_file(" ".join(names), zone)
            path.write_text(calendar_text(names, zone), newline="")
    for plan in every:
        plan.foresee(bytes(awake))
        (tmp_path / "playbooks" / f"{plan.name}.yaml").write_text(plan.text())
    assert not machine.directory.load().mistakes, machine.directory.load().mistakes[:3]
    machine.run()
    machine.service.close()
    for plan in every:
        rotated = machine.rotated.get(plan.name, [])
        pairs = list(zip(rotated, plan.expected, strict=False))
        wrong = [n for n, (is_, must) in enumerate(pairs) if abs(is_ - must) > 1.0]
        first = wrong[0] if wrong else len(pairs)
        assert not wrong and len(rotated) == len(plan.expected), (
            plan.text(),
            first,
            [str(datetime.fromtimestamp(at, UTC)) for at in rotated[max(0, first - 2) : first + 2]],
            [
                str(datetime.fromtimestamp(at, UTC))
                for at in plan.expected[max(0, first - 2) : first + 2]
            ],
        )
    with capsys.disabled():
        number = sum(len(plan.expected) for plan in every)
        print(f"\na year of {len(every)} playbooks: {number} rotations, each at its moment")
