"""No message moves a cursor, colours a terminal, or passes for another line: whoever's words are in it."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import pytest

from rotator.clients import programs
from rotator.errors import PermanentError, RotatorError, printable
from rotator.model import Finding, Level, NotYet, Progress
from rotator.playbook.mistakes import Mistake
from rotator.secret import hint_of

NASTY = "no\x1b[31m\r\x07error: all is well\nhint: \u202egnihton\u2028\ud800\x9b2J\x00"


def _controls(text: str) -> list[str]:
    return [one for one in text if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in "\u202e\u2066"]


@pytest.mark.parametrize(
    "said",
    [
        RotatorError(NASTY, NASTY),
        Finding(Level.ERROR, NASTY, NASTY),
        Mistake("one.yaml", 1, 1, NASTY, NASTY),
        NotYet(1.0, text=NASTY),
        Progress(1, 0, False, text=NASTY),
    ],
    ids=lambda said: type(said).__name__,
)
def test_nothing_that_is_said_has_a_control_character(said: Any) -> None:
    texts = [getattr(said, name, "") for name in ("message", "text", "hint")] + [str(said)]
    assert not _controls("".join(texts)) and any("no\\x1b[31m\\r" in text for text in texts)
    "".join(texts).encode()


def test_words_of_programs_are_seen_and_not_obeyed() -> None:
    argv = [sys.executable, "-c", "import sys; sys.stderr.write('\\x1b[2Jbroken\\x1b[0m\\b\\b'); sys.exit(1)"]
    with pytest.raises(PermanentError) as told:
        programs.expect_success(programs.run(argv), argv)
    assert "\\x1b[2Jbroken" in told.value.message and not _controls(told.value.message)


def test_a_key_of_odd_characters_is_shown_without_them() -> None:
    assert not _controls(hint_of("\x1b[31m-abcdefghijklmnop-\r\n"))


def test_all_other_signs_stay() -> None:
    text = "schlüssel 键 ключ ✓ … — ‘’ 🙂 é"
    assert printable(text) == text
