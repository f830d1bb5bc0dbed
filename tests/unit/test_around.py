"""A newline behind a key is no part of it, stays where it was, and is told where nobody
meant it.
"""

from __future__ import annotations

import pytest

from rotator.clients import around


@pytest.mark.parametrize(
    ("before", "after", "in_a_file", "elsewhere"),
    [
        ("old", "new", "", ""),
        ("old\n", "new\n", "", "there is a newline behind"),
        ("old\r\n", "new\r\n", "CR LF", "CR LF"),
        ("\ufeffold\r\n", "\ufeffnew\r\n", "byte order mark", "byte order mark"),
        ("old\n\n", "new\n\n", "there are several newlines", "there are several newlines"),
        (" old\n", " new\n", "white space before", "white space before"),
        ("old ", "new ", "white space behind", "white space behind"),
        ("\n", "new\n", "", ""),
        ("", "new", "", ""),
        ("-----BEGIN KEY-----\nold\n-----END KEY-----\n", "new\n", "", "a newline behind"),
        ("old\nOTHER\n", "new\n", "several lines", "several lines"),
    ],
)
def test_what_stands_around_stays_and_is_told(
    before: str, after: str, in_a_file: str, elsewhere: str
) -> None:
    assert around.bare(before) == before.strip("\ufeff \r\n")
    assert around.like(before, "new") == after
    for words, found in (
        (in_a_file, list(around.accidents("x", before, end="\n"))),
        (elsewhere, list(around.accidents("x", before))),
    ):
        assert (words in found[0].text) if words else not found
