"""A field of an answer is read, or it is none: never an error that costs the key."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from rotator.clients import reading
from rotator.errors import PermanentError
from rotator.model import KeyRecord
from rotator.secret import Secret

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC).timestamp()
ODD: list[Any] = [
    [],
    {},
    {"a": 1},
    [1],
    True,
    False,
    float("inf"),
    float("nan"),
    10**4000,
    -(10**4000),
    "\x00",
]


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-01T12:00:00Z",
        "2026-11-01T12:00:00.000000000Z",
        "2026-11-01T13:00:00+01:00",
        "2026-11-01T12:00:00",
        "2026-11-01 12:00:00 UTC",
        "20261101T120000Z",
        "Sun, 01 Nov 2026 12:00:00 +0000",
        "Sun, 01 Nov 2026 12:00:00 GMT",
        " 2026-11-01T12:00:00Z\n",
        NOON,
        int(NOON),
        str(int(NOON)),
        f"{NOON:.3f}",
        int(NOON * 1e3),
        str(int(NOON * 1e3)),
        int(NOON * 1e6),
        int(NOON) * 10**9,
        datetime(2026, 11, 1, 12, tzinfo=UTC),
        datetime(2026, 11, 1, 12),  # noqa: DTZ001
    ],
)
def test_a_date_is_understood_in_every_form_that_providers_use(told: Any) -> None:
    assert reading.moment(told) == pytest.approx(NOON)


@pytest.mark.parametrize(
    "told",
    [
        None,
        "",
        " ",
        0,
        "0",
        -1,
        "-1",
        "never",
        "soon",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "99999999999999",
    ]
    + ["2026-13-01", "2026-02-30T00:00:00Z", "Sun, 99 Nov 2026 12:00:00 GMT", "\ud800", "²", *ODD],
)
def test_what_is_no_date_is_unknown(told: Any) -> None:
    found = reading.moment(told)
    assert found is None or told == "99999999999999"  # the year 5138, told in milliseconds


def test_a_day_of_eight_digits_is_a_day() -> None:
    assert reading.moment("20261101") == NOON - 12 * 3600


def test_keys_that_never_expire_are_told_by_the_last_day_there_is() -> None:
    assert reading.moment("9999-12-31T23:59:59Z") == 253_402_300_799


@pytest.mark.parametrize(
    "told", [None, "", 0, "0", False, "never", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]
)
def test_a_key_that_was_never_used_is_told_so(told: Any) -> None:
    assert reading.last_use(told) is None


@pytest.mark.parametrize("told", ["yesterday", "2026-13-01", {"seconds": 5}, ["2026-11-01"], True])
def test_a_last_use_that_nobody_understands_is_not_taken_for_never(told: Any) -> None:
    """Else a key in use this second would count as quiet."""
    assert reading.last_use(told) == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    ("told", "text"), [("key_1", "key_1"), (17, "17"), (None, ""), *((odd, "") for odd in ODD)]
)
def test_an_id_is_a_text_or_a_whole_number(told: Any, text: str) -> None:
    assert reading.key_id(told) == text


@pytest.mark.parametrize(
    "told",
    [
        "",
        " ",
        ".",
        "..",
        "../../x",
        "a/..",
        "a/./b",
        "a\\..\\b",
        "a\nb",
        "a\x00b",
        "a\ud800b",
        "a\ufffdb",
        "a\u2028b",
        "x" * 501,
    ],
)
def test_what_cannot_be_part_of_an_address_is_no_id(told: str) -> None:
    assert reading.unfit(told) and reading.key_id(told) == ""


UNUSUAL = ["...", "a.b", "keys/2", "projects/p/keys/k", "a b", "schlüssel", "%2e%2e", "k7" * 250]


@pytest.mark.parametrize("told", UNUSUAL)
def test_an_id_may_be_unusual(told: str) -> None:
    assert reading.key_id(told) == told


@pytest.mark.parametrize(
    "told", ["", "sk abc", "sk-abc\n", "sk-\tabc", "sk-äbc", "sk-\x7f", "sk-\x00", "\ufffd"]
)
def test_what_cannot_stand_in_a_header_is_no_key(told: str) -> None:
    assert reading.no_header(told)


def test_a_label_that_cannot_be_shown_is_shown_as_far_as_it_can() -> None:
    assert reading.told("a\ud800b\nc") == "a\ufffdb\ufffdc"
    assert [reading.told(odd) for odd in (None, True, {}, [])] == [""] * 4


@pytest.mark.parametrize(
    ("told", "active"),
    [
        (True, True),
        (False, False),
        ("false", False),
        ("True", True),
        ("Inactive", False),
        ("Active", True),
    ]
    + [(None, True), (1, True), (0, False), ("revoked", False)],
)
def test_active_may_be_told_in_words(told: Any, active: bool) -> None:
    assert reading.flag(told) is active


def test_a_key_is_not_dead_because_disabled_is_the_text_false() -> None:
    """`!disabled` of a text is false: every key would look inactive."""
    item = reading.plain({"disabled": "false", "name": "false alarm"})
    assert reading.flag(reading.pick("!disabled", item))
    assert item["name"] == "false alarm"


@pytest.mark.parametrize(
    "path", ["sort(data[].id)", "length(absent)", "data[].id | [0].x.y", "max(data[].id)"]
)
def test_a_path_that_does_not_fit_the_data_finds_nothing(path: str) -> None:
    assert reading.pick(path, {"data": [{"id": 1}, {"id": "a"}]}) is None


def test_a_key_that_two_pages_show_is_one_key() -> None:
    """With the later of the two uses."""
    one = KeyRecord("k", "l", "h", last_used_at=1.0)
    assert reading.distinct([one, KeyRecord("k", "l", "h", last_used_at=2.0)]) == [
        KeyRecord("k", "l", "h", last_used_at=2.0)
    ]


@pytest.mark.parametrize("other", [KeyRecord("k", "other", "h"), KeyRecord("k", "l", "other")])
def test_two_keys_of_one_id_are_refused(other: KeyRecord) -> None:
    with pytest.raises(PermanentError, match="shows the key k twice"):
        reading.distinct([KeyRecord("k", "l", "h"), other])


def test_an_id_that_is_a_key_itself_is_no_id() -> None:
    """It would be printed, kept and put into addresses, as ids are."""
    key = Secret("sk-canary-that-is-its-own-id-0123456789")
    assert reading.key_id(key.reveal()) == reading.key_id(f"keys/{key.reveal()}") == ""
    assert reading.unfit(key.reveal()) == "a key itself"
    assert reading.key_id("sk-canary-that-is") == "sk-canary-that-is", (
        "of `ID.SECRET` the id is shown"
    )
