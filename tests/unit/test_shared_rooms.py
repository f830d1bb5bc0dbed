"""What several integrations share: notes beside a key, and the clocks of servers."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from rotator.clients import dates, notes
from rotator.integrations.kubernetes import outages
from rotator.model import Note

NOTE = Note("key-1", "here", "r1", 1700000000.0)


def test_a_note_is_read_as_it_was_written() -> None:
    assert notes.read(json.loads(json.dumps(notes.fields(NOTE)))) == NOTE


@pytest.mark.parametrize(
    "fields",
    [
        None,
        "a text",
        [],
        {},
        {**notes.fields(NOTE), "at": "today"},
        {**notes.fields(NOTE), "at": None},
        {name: value for name, value in notes.fields(NOTE).items() if name != "rotation"},
    ],
)
def test_what_somebody_else_wrote_there_is_no_note(fields: Any) -> None:
    assert notes.read(fields) is None


def test_the_clock_of_a_server_is_compared_by_the_date_of_its_answer() -> None:
    assert abs(dates.clock_skew(formatdate(time.time() + 60, usegmt=True)) - 60) < 2


@pytest.mark.parametrize("date", ["", "tomorrow", "Sun, 99 Nov 1994 08:49:37 GMT"])
def test_a_server_without_a_right_date_has_our_clock(date: str) -> None:
    assert dates.http_date(date) is None and dates.clock_skew(date) == 0.0


def test_failures_close_together_are_one_outage_and_only_the_last_ten_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(outages, "_outages", {})
    monkeypatch.setattr(time, "time", lambda: now)
    outages.note("a server")
    now += 10
    outages.note("a server")
    assert outages.of("a server") == [(1000.0, 1010.0)] and outages.of("another") == []
    for _ in range(11):
        now += 100
        outages.note("a server")
    assert len(outages.of("a server")) == 10 and outages.of("a server")[-1] == (now, now)
    assert outages.until_calm(outages.of("a server"), 60.0) == 60.0
