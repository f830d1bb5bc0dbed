"""What leaves for a terminal, a pipe or a log: no key in it, nothing that a terminal would obey."""

from __future__ import annotations

import io
import json

import pytest

from rotator.cli.streams import Guarded
from rotator.secret import Secret
from rotator.shown import fit, spelled, tidy

NASTY = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eright\u2066\u200b\u2028\x7f\b\r\x00"


def test_what_a_terminal_would_obey_is_written_out() -> None:
    said = fit(f"a key named {NASTY}, and ✓ … · ü 中 stay\n\tin two lines")
    assert said.isprintable() or all(char.isprintable() or char in "\n\t" for char in said)
    assert (
        "\\u001b]0;title\\u0007" in said
        and "\\u202eright" in said
        and "✓ … · ü 中 stay\n\tin two lines" in said
    )


@pytest.mark.parametrize("text", [NASTY, "\U000e0041", "plain", "\\u001b already"])
def test_a_line_of_json_stays_the_same_text(text: str) -> None:
    line = json.dumps({"name": text}, ensure_ascii=False)
    assert json.loads(spelled(line)) == {"name": text}


def test_somebodys_words_are_one_line_of_a_record() -> None:
    assert (
        tidy('x\r\n{"event":"forged"}\n\terror: forged\u2028z')
        == 'x {"event":"forged"} error: forged z'
    )


def test_many_blanks_take_no_time() -> None:
    import time

    begun = time.process_time()
    tidy(" " * 1_000_000 + "x")
    fit("\x1b" * 1_000_000)
    assert time.process_time() - begun < 6


def test_no_verb_needs_to_remember_the_redactor() -> None:
    beneath, alive = io.StringIO(), Secret("a-secret-that-a-verb-prints-0123")
    door = Guarded(beneath)
    print("found", alive.reveal(), "here \x1b[2J", file=door)
    door.write_as_it_is("a record")
    assert beneath.getvalue() == "found *** here \\u001b[2J\na record"
