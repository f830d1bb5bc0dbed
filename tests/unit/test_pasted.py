"""What people paste for a key: taken as it is, or refused by what stands there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.errors import PermanentError
from rotator.integrations.operator.provider import OperatorProvider
from rotator.model import single
from rotator.secret import Secret

KEY = "sk-ant-api03-NEWnewNEWnewNEWnewNEWnew42"
PATTERNS = [None, "sk-ant-api03-[A-Za-z0-9_-]{20,}"]


def taken(text: str, pattern: str | None = None) -> str:
    return (
        OperatorProvider(pattern=pattern)
        .accept(Secret(text), single("the-old-key"))
        .primary.reveal()
    )


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", "  {}\t\n\n", "\n\n{}"])
def test_blanks_and_line_ends_around_a_key_are_taken_off(around: str, pattern: str | None) -> None:
    assert taken(around.format(KEY), pattern) == KEY


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"\u200b{KEY}", "character 1 of 40 is ZERO WIDTH SPACE (U+200B)"),
        (f"\ufeff{KEY}", "character 1 of 40 is ZERO WIDTH NO-BREAK SPACE (U+FEFF)"),
        (f"{KEY}\u00a0", "character 40 of 40 is NO-BREAK SPACE (U+00A0)"),
        (KEY.replace("-ant", "\u2014ant"), "character 3 of 39 is EM DASH (U+2014)"),
        (KEY.replace("a", "\u0430", 1), "character 4 of 39 is CYRILLIC SMALL LETTER A (U+0430)"),
        (f"{KEY[:9]}\u00ad{KEY[9:]}", "is SOFT HYPHEN (U+00AD)"),
        (f"\u201c{KEY}\u201d", "is LEFT DOUBLE QUOTATION MARK (U+201C)"),
        (f"\x1b[200~{KEY}\x1b[201~", "character 1 of 51 is a control character (U+001B)"),
        (f"{KEY}\x00", "is a control character (U+0000)"),
        (f"\udcff{KEY}", "is a byte that is no text (UTF-8)"),
        (f"Bearer {KEY}", "character 7 of 46 is a blank"),
        (f"{KEY}\nand a note", "there are 2 lines"),
        (f"{KEY}\r\n\r\n{KEY}\r\n", "there are 2 lines"),
        (f"{KEY[:20]}\n{KEY[20:]}", "there are 2 lines"),
        (" \n", "it is empty"),
    ],
)
def test_what_is_not_one_word_of_ascii_is_refused_by_its_character_and_place(
    text: str, told: str, pattern: str | None
) -> None:
    with pytest.raises(PermanentError) as refused:
        taken(text, pattern)
    assert told in refused.value.message and refused.value.hint
    assert KEY[13:] not in refused.value.message


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "text",
    [
        f'"{KEY}"',
        f"'{KEY}'",
        f"`{KEY}`",
        f"<{KEY}>",
        f"ANTHROPIC_API_KEY={KEY}",
        f"{KEY},",
        "sk-ant-api03-R2D...igAA",
        "sk-ant-************igAA",
        "sk-ant-xxxxxxxxxxxxxxxx",
    ],
)
def test_what_stands_around_a_key_or_in_its_place_is_refused_without_a_pattern_too(
    text: str, pattern: str | None
) -> None:
    with pytest.raises(PermanentError, match="this is not the key: "):
        taken(text, pattern)


@pytest.mark.parametrize(
    "key",
    [
        "dGhlIGtleSBpbiBiYXNlNjQ=",
        "ABCDEFGH==",
        "AccountName=a;AccountKey=abcdefgh==",
        "p@ss:w0rd#1$",
    ],
)
def test_keys_of_other_looks_are_taken(key: str) -> None:
    assert taken(key) == key


def test_what_the_pattern_says_is_a_key_is_one() -> None:
    assert taken("'quoted-key'", "'[a-z-]+'") == "'quoted-key'"
    assert taken("NAME=abcdefgh", "NAME=[a-h]+") == "NAME=abcdefgh"


@given(st.text(max_size=40), st.sampled_from([None, ".{8,}", "(?s).*"]))
def test_what_is_taken_is_always_one_word_of_printable_ascii(
    text: str, pattern: str | None
) -> None:
    """And it is what was given, but for blanks and line ends at its ends."""
    try:
        found = taken(text, pattern)
    except PermanentError:
        return
    assert re.fullmatch("[!-~]+", found) and text.strip(" \t\r\n") == found
