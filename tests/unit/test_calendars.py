"""Calendars as blackouts: what stands in a file of iCalendar, and what is refused of it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rotator.errors import ConfigError
from rotator.integrations.calendar import reading
from rotator.playbook.blackouts import ForAll
from rotator.playbook.directory import Directory, Loaded
from rotator.schedules.opening import Opening
from rotator.schedules.rules import FOREVER

BERLIN = ZoneInfo("Europe/Berlin")
COMPANY = """BEGIN:VTIMEZONE
TZID:Company Time
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
END:DAYLIGHT
END:VTIMEZONE
"""
PLAYBOOK = """
generate: {uses: memory, issuer: one}
store: {uses: memory, cell: one}
restart: [{uses: memory, consumers: [one]}]
"""


def ics(*events: str, above: str = "") -> str:
    """A calendar of events, each a text of lines."""
    body = "".join(
        f"BEGIN:VEVENT\nUID:{number}\nDTSTAMP:20260101T000000Z\n{event}\nEND:VEVENT\n"
        for number, event in enumerate(events)
    )
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//\n{above}{body}END:VCALENDAR\n"
    return text.replace("\n", "\r\n")


def read(folder: Path, text: str, zone: str = "Europe/Berlin") -> list[str]:
    """Each stretch that touches 2026, on the wall clock of Berlin."""
    path = folder / "freeze.ics"
    path.write_text(text, newline="")
    found = reading.read(str(path), zone).of_year(2026)
    return [
        " ".join(
            datetime.fromtimestamp(at, BERLIN).strftime("%m-%d %H:%M")
            for at in (one.begin, one.end)
        )
        for one in found
        if datetime(2026, 1, 1, tzinfo=BERLIN).timestamp() <= one.begin
    ]


@pytest.mark.parametrize(
    ("event", "above", "expected"),
    [
        ("DTSTART:20260105T100000Z\nDTEND:20260105T120000Z", "", ["01-05 11:00 01-05 13:00"]),
        ("DTSTART;VALUE=DATE:20260704", "", ["07-04 00:00 07-05 00:00"]),
        ("DTSTART:20260105T100000\nDURATION:PT30M", "", ["01-05 10:00 01-05 10:30"]),
        (
            "DTSTART:20260105T100000\nDURATION:PT30M",
            "X-WR-TIMEZONE:America/New_York\n",
            ["01-05 16:00 01-05 16:30"],
        ),
        (
            "DTSTART;TZID=Company Time:20260328T230000\nDTEND;TZID=Company Time:20260329T050000",
            COMPANY.replace("+0200", "+0300").replace("+0100", "+0200"),
            ["03-28 22:00 03-29 04:00"],
        ),
        (  # by the wall clock there, before and after clocks are set
            "DTSTART;TZID=Europe/Berlin:20260321T200000\nDTEND;TZID=Europe/Berlin:20260322T080000\n"
            "RRULE:FREQ=WEEKLY;COUNT=3\nEXDATE;TZID=Europe/Berlin:20260404T200000",
            "",
            ["03-21 20:00 03-22 08:00", "03-28 20:00 03-29 08:00"],
        ),
        (
            "DTSTART;TZID=America/New_York:20260301T120000\nDURATION:PT1H\n"
            "RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20260501T000000Z",
            "",
            ["03-27 17:00 03-27 18:00", "04-24 18:00 04-24 19:00"],
        ),
        (
            "DTSTART:20260105T100000Z\nDTEND:20260105T120000Z\n"
            "RDATE;VALUE=PERIOD:20260201T000000Z/PT2H",
            "",
            ["01-05 11:00 01-05 13:00", "02-01 01:00 02-01 03:00"],
        ),
        ("DTSTART:20260105T100000Z\nDTEND:20260105T120000Z\nSTATUS:CANCELLED", "", []),
    ],
)
def test_events_are_stretches_of_time(
    tmp_path: Path, event: str, above: str, expected: list[str]
) -> None:
    found = read(tmp_path, ics(event, above=above))
    assert [one for one in found if not one.startswith("03-01")] == expected


def test_of_a_series_single_events_are_moved_and_left_out(tmp_path: Path) -> None:
    series = "DTSTART:20260105T100000Z\nDTEND:20260105T120000Z\nRRULE:FREQ=DAILY;COUNT=3"
    moved = "DTSTART:20260106T200000Z\nDTEND:20260106T210000Z\nRECURRENCE-ID:20260106T100000Z"
    off = "DTSTART:20260107T100000Z\nDTEND:20260107T120000Z\nRECURRENCE-ID:20260107T100000Z\nSTATUS:CANCELLED"
    text = ics(series, moved, off).replace("UID:1", "UID:0").replace("UID:2", "UID:0")
    assert read(tmp_path, text) == ["01-05 11:00 01-05 13:00", "01-06 21:00 01-06 22:00"]


def test_of_two_versions_of_an_event_the_later_counts_and_copies_are_one(tmp_path: Path) -> None:
    first = "DTSTART:20260105T100000Z\nDTEND:20260105T120000Z\nSEQUENCE:1"
    later = "DTSTART:20260205T100000Z\nDTEND:20260205T120000Z\nSEQUENCE:2"
    for events in ((first, later, later), (later, first, first)):
        text = ics(*events).replace("UID:1", "UID:0").replace("UID:2", "UID:0")
        assert read(tmp_path, text) == ["02-05 11:00 02-05 13:00"]


WHOLE = ics("DTSTART:20260105T100000Z\nDTEND:20260105T120000Z")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no VCALENDAR"),
        ("<html></html>", "could not be parsed"),
        (WHOLE[: WHOLE.index("END:VEVENT")], "holds no VCALENDAR"),
        (WHOLE + WHOLE[: WHOLE.index("END:VEVENT")], "was cut off"),
        (WHOLE.replace("END:VEVENT\r\n", ""), "holds no VCALENDAR"),
        (WHOLE.replace("VEVENT", "VFREEBUSY"), "VFREEBUSY"),
        (ics("SUMMARY:x"), "'x' has no DTSTART"),
        (ics("DTSTART:2026garbage"), "DTSTART"),
        (ics("DTSTART;TZID=Europe/Nowhere:20260102T100000"), "zone Europe/Nowhere"),
        (
            ics("DTSTART:20260102T100000Z\nRRULE:FREQ=DAILY\nEXDATE;TZID=No/Where:20260103T100000"),
            "zone No/Where",
        ),
        (
            ics("DTSTART:20260102T100000Z\nRDATE;TZID=No/Where;VALUE=PERIOD:20260103T100000/PT1H"),
            "zone No/Where",
        ),
        (ics("DTSTART:20260102T100000", above="X-WR-TIMEZONE:No/Where\n"), "No/Where"),
        (ics("DTSTART:20260102T100000Z\nRRULE:BYDAY=MO"), "no FREQ"),
        (ics("DTSTART:20260102T100000Z\nRRULE:FREQ=WEEKLY;BYDAY=FOO"), "RRULE"),
        (ics("DTSTART:20260102T100000Z\nRRULE:FREQ=SECONDLY"), "more than once a day"),
        (ics("DTSTART:20260102T100000Z\nRRULE:FREQ=DAILY;UNTIL=20260104"), "UNTIL"),
        (ics("DTSTART:20260102T100000Z\nDTEND:20260101T100000Z"), "ends before it begins"),
        (ics("DTSTART:20260102T100000Z\nDTEND:20260103T100000"), "ends before it begins"),
        (ics("DTSTART:20260102T100000Z\nDTEND;VALUE=DATE:20260103"), "ends before it begins"),
        (ics("DTSTART:20260102T100000Z\nDURATION:-PT1H"), "ends before it begins"),
        (ics("DTSTART:20260102T100000Z\nDURATION:soon"), "DURATION"),
        (ics("DTSTART:20260102T100000Z\nDTEND 20260103T100000Z"), "a line"),
        (
            ics(
                "DTSTART:20260102T100000Z\nSUMMARY:a", "DTSTART:20260202T100000Z\nSUMMARY:b"
            ).replace("UID:1", "UID:0"),
            "the event 'b' has the UID of another one",
        ),
        (ics("DTSTART:20260102T100000Z", above="CALSCALE:CHINESE\n"), "Gregorian"),
        (
            ics(
                "DTSTART;TZID=Company Time:20260102T100000",
                above=COMPANY.replace("TZOFFSETTO:+0100", "TZOFFSETTO:early"),
            ),
            "UTC offset",
        ),
        (
            ics(
                "DTSTART;TZID=Company Time:20260102T100000",
                above=COMPANY.replace("-1SU", "LAST"),
            ),
            "weekday abbreviation",
        ),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 5_000_001])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "freeze.ics").write_bytes(content)
    with pytest.raises(ConfigError, match=r"freeze\.ics"):
        reading.read(str(tmp_path / "freeze.ics"), "UTC")


def test_what_decides_nothing_may_be_wrong(tmp_path: Path) -> None:
    text = ics("DTSTART:20260105T100000Z\nDTEND:20260105T120000Z\nGEO:here\nPRIORITY:high")
    assert read(tmp_path, text) == ["01-05 11:00 01-05 13:00"]


# --- in playbooks ---
def loaded(folder: Path, schedule: str, for_all: ForAll | None = None) -> Loaded:
    (folder / "one.yaml").write_text(f"schedule: {schedule}{PLAYBOOK}")
    return Directory((folder,), blackouts=for_all).load()


def test_a_calendar_of_a_playbook_is_found_in_its_folder_and_named(tmp_path: Path) -> None:
    (tmp_path / "freeze.ics").write_text(
        ics("DTSTART;VALUE=DATE:20261220\nDTEND;VALUE=DATE:20270104\nSUMMARY:Christmas\x1b[31m")
    )
    schedule = "{every: 7d, timezone: Europe/Berlin, blackout: {calendar: freeze.ics}}"
    found = loaded(tmp_path, schedule)
    assert not found.mistakes
    book = found.playbooks["one"]
    assert book.definition["schedule"]["blackout"] == {"calendar": str(tmp_path / "freeze.ics")}
    now = datetime(2026, 12, 24, tzinfo=UTC).timestamp()
    due = book.due(now - 8 * 86_400, now)
    assert due is not None and due.why == "blackout"
    assert due.blackout == "Christmas [31m (freeze.ics)"
    assert due.begins == datetime(2027, 1, 4, tzinfo=BERLIN).timestamp()


def test_a_calendar_that_cannot_be_read_is_a_mistake_and_holds_back(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{every: 7d, blackout: [fri 16:00-24:00, {calendar: none.ics}]}")
    (mistake,) = found.mistakes
    assert (mistake.line, mistake.column) == (1, 62) and "none.ics cannot be read" in mistake.text
    due = found.playbooks["one"].due(None, 1e9)
    assert due is not None and due.begins == FOREVER and due.why == "blackout"
    assert due.blackout == "none.ics, which cannot be read"


def test_a_calendar_that_cannot_be_read_is_not_searched_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two years of windows for each of many playbooks, at each scrape: no scrape would end."""
    schedule = "{every: 7d, window: mon-fri 09:00-17:00, blackout: {calendar: freeze.ics}}"
    book = loaded(tmp_path, schedule).playbooks["one"]
    looks = list[float]()

    def edges(self: Opening, at: float) -> list[float]:
        looks.append(at)
        return []

    monkeypatch.setattr(Opening, "_edges", edges)
    due = book.due(1e9, 1.9e9)
    assert due is not None and due.begins == FOREVER and "cannot be read" in due.blackout
    assert looks == []


def test_a_blackout_that_is_none_is_told_in_words_at_its_place(tmp_path: Path) -> None:
    line = "schedule: {every: 7d, blackout: [{calendar: 5}]}"
    for entry, column, words in (
        ("{from: 2026-12-20}", line.index("{c") + 1, "blackout[0]: a blackout is 'fri 16:00-24"),
        ("{calendar: 5}", line.index("5}") + 1, "blackout[0].calendar: input should be"),
    ):
        mistakes = loaded(tmp_path, f"{{every: 7d, blackout: [{entry}]}}").mistakes
        told = [(one.line, one.column) for one in mistakes if f"schedule.{words}" in one.text]
        assert told == [(1, column)], mistakes
        assert not any("function-" in one.text for one in mistakes)


def test_without_the_extra_a_calendar_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "freeze.ics").write_text(WHOLE)
    monkeypatch.setitem(sys.modules, "recurring_ical_events", None)
    (mistake,) = loaded(tmp_path, "{every: 7d, blackout: {calendar: freeze.ics}}").mistakes
    assert "recurring_ical_events" in mistake.text and "pip install" in mistake.hint


def test_blackouts_of_the_settings_hold_back_each_playbook_in_their_own_zone(
    tmp_path: Path,
) -> None:
    for_all = ForAll(("fri 16:00-24:00",), "America/New_York")
    book = loaded(tmp_path, "{every: 7d, window: fri 00:00-24:00}", for_all).playbooks["one"]
    now = datetime(2026, 7, 3, 21, tzinfo=UTC).timestamp()  # friday; 17:00 in New York
    due = book.due(None, now)
    assert due is not None and due.blackout == "fri 16:00-24:00 (rotator.toml)"
    assert due.begins == datetime(2026, 7, 10, tzinfo=UTC).timestamp()


def test_a_calendar_that_changes_is_read_again(tmp_path: Path) -> None:
    calendar = tmp_path / "freeze.ics"
    calendar.write_text(WHOLE)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.yaml").write_text(f"schedule: {{every: 7d}}{PLAYBOOK}")
    directory = Directory((tmp_path / "books",), blackouts=ForAll(({"calendar": str(calendar)},)))
    first = directory.load()
    assert directory.load() is first and not first.mistakes
    when = first.playbooks["one"].when
    calendar.write_text("nothing")
    second = directory.load()
    assert second is not first and directory.load() is second
    (mistake,) = second.mistakes
    assert mistake.file == str(calendar) and "rotator.toml" in mistake.text
    assert second.playbooks["one"].when != when, "so that what was reckoned holds no more"
    calendar.write_text(WHOLE)
    os.utime(calendar, (1, 1))
    third = directory.load()
    assert not third.mistakes and third.playbooks["one"].when != second.playbooks["one"].when
