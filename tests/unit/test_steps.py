"""What a person sees while something is tried again."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from rotator.cli import console
from rotator.cli.steps import StepView, laid_out
from rotator.core.action import Call, Done, Failed, Later, Op, Result, Unknown, WaitUntil
from rotator.core.debt_state import Debt, DebtPhase, Proof
from rotator.core.plan import Key, Plan
from rotator.core.state import Cause, Phase, Rotation
from rotator.engine.performed import Performed

NOW = 1_700_000_000.0
ROTATION = Rotation("r", "one", Plan(), Phase.PREFLIGHT, now=NOW, since=NOW, tries=1)
DEBT = Debt(
    "d", "one", "r", Key("k"), Cause.ROTATED, Plan(), DebtPhase.LOOK, now=NOW, since=NOW, tries=4
)
CALL = Call(Op.PREFLIGHT, "preflight")


class Live:
    def __init__(self) -> None:
        self.text = ""

    def update(self, text: str) -> None:
        self.text = str(text)

    def put(self, *lines: str) -> None:
        print(*lines, sep="\n")

    def stop(self) -> None:
        self.text = ""


def told(
    view: StepView, unit: Rotation | Debt, call: Call, result: Result, wait: float = 5.0
) -> None:
    view(unit, call, None, 0.0)
    view(unit, call, Performed(result), 0.1)
    view.waits(unit, WaitUntil(NOW + wait))


def test_why_which_try_and_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    view = StepView()
    told(view, ROTATION, CALL, Failed(NOW, "it is down", "", False))
    said = capsys.readouterr().out
    assert "preflight  … it is down; try 2 at " in said and ", until " in said
    told(view, ROTATION, CALL, Failed(NOW, "it is down", "", False))
    assert capsys.readouterr().out == "", "the same is not said again within a minute"
    told(view, ROTATION, CALL, Failed(NOW, "it refuses", "", False))
    assert "it refuses" in capsys.readouterr().out


def test_an_old_key_is_tried_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    told(StepView(many=True), DEBT, Call(Op.REVOKE, "revoke"), Failed(NOW, "503", "", False))
    said = capsys.readouterr().out
    assert said.startswith("one: revoke") and "503; try 5 at " in said and "without end" in said


def test_a_lost_answer_is_told_while_it_is_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    view, unit = StepView(), replace(ROTATION, phase=Phase.RECOVER)
    view(unit, Call(Op.GENERATE, "generate"), Performed(Unknown(NOW, "cut off")), 0.1)
    told(view, unit, Call(Op.RECOVER, "generate"), Done(NOW))
    assert "cut off; try 2" in capsys.readouterr().out


def test_the_live_line_says_it_and_what_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    view, live = StepView(), Live()
    monkeypatch.setattr(view, "_live", live)
    told(view, ROTATION, CALL, Failed(NOW, "it is down", "", False))
    assert "it is down; try 2 at" in live.text
    told(view, ROTATION, Call(Op.PROGRESS, "restart"), Later(NOW, 1.0, text="app 1/3"))
    assert live.text.startswith("app 1/3; asked again at")
    view.waits(None, WaitUntil(NOW))


def test_a_dead_key_is_not_told_as_a_failure_when_a_probe_fails_afterwards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --revoke-first probes fail until the new key is out; the line is about the key that was
    to die.
    """
    view = StepView()
    for op, result in (
        (Op.PROVE, Done(NOW, Proof.REFUSED)),
        (Op.WATCH, Failed(NOW, "the key is refused (401)")),
    ):
        view(DEBT, Call(op, "revoke", key=DEBT.key), Performed(result), 0.1)
    view.close()
    said = capsys.readouterr().out
    assert (
        "revoke     ✓ refused by the provider" in said
        and "! a probe fails since then: the key is refused" in said
    )


@pytest.mark.parametrize(
    ("proof", "line"),
    [
        (Proof.NONE, "revoke     ✗ k is not refused yet"),
        (Proof.REFUSED, "revoke     ✓ refused by the provider"),
        (Proof.UNLISTED, "revoke     ✓ no longer listed by the provider"),
    ],
)
def test_a_key_is_said_to_be_refused_where_that_was_seen_alone(
    proof: Proof, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    view = StepView()
    view(DEBT, Call(Op.PROVE, "revoke", key=DEBT.key), Performed(Done(NOW, proof)), 0.1)
    view.close()
    assert line in capsys.readouterr().out
    assert [one["ok"] for one in view.finished["one"]] == [proof is not Proof.NONE]


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    view: Any = StepView(quiet=True)
    told(view, ROTATION, CALL, Failed(NOW, "it is down", "", False))
    view.close()
    assert capsys.readouterr().out == "" and json.dumps(view.finished)


class Terminal(io.StringIO):
    """Of this width; `screen` is what is to be seen: carriage returns and erased lines as terminals
    take them.
    """

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        lines = []
        for line in self.getvalue().split("\n"):
            seen = ""
            for part in line.split("\r"):
                seen = (
                    part.removeprefix("\x1b[K")
                    if part.startswith("\x1b[K")
                    else part + seen[len(part) :]
                )
            assert "\x1b" not in seen
            lines.append(seen)
        return lines


@pytest.fixture(params=[40, 80, 120])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_a_step_fits_the_terminal_and_its_live_line_leaves_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    width = int(os.environ["COLUMNS"])
    view = StepView()
    long = "app 1/3: " + "replica-7d9 shows the old key and was told to stop " * 4
    told(view, ROTATION, CALL, Later(NOW, 1.0, text=long))
    told(view, ROTATION, Call(Op.PROGRESS, "restart"), Failed(NOW, long, "", False))
    view.close()
    screen = terminal.screen
    assert all(len(line) <= width for line in screen), screen
    text = " ".join(" ".join(screen).split())
    assert text.count("replica-7d9") == 8 and "asked again" not in text, (
        "what was live is gone, what stays is whole"
    )
    heads = [line for line in screen if line.strip() and not line.startswith(" " * 15)]
    assert [line.split()[0] for line in heads] == [
        "preflight",
        "restart",
    ], "what is broken goes on under its words"
    assert len({len(line) for line in screen if line.endswith(" s")}) == 1, (
        "the times stand below each other"
    )


def test_in_a_pipe_a_step_is_one_line_without_padding(capsys: pytest.CaptureFixture[str]) -> None:
    view = StepView()
    told(view, ROTATION, CALL, Done(NOW))
    told(
        view, ROTATION, Call(Op.PROGRESS, "restart"), Failed(NOW, "it " + "fails " * 40, "", False)
    )
    view.close()
    lines = [line for line in capsys.readouterr().out.splitlines() if "…" not in line]
    assert (
        lines[0] == "  preflight  ✓ nothing hinders it  0.0 s"
        and len(lines) == 2
        and lines[1].count("fails") == 40
    )


def test_a_terminal_that_cannot_take_a_line_back_gets_none(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "dumb")
    view = StepView()
    told(view, ROTATION, CALL, Failed(NOW, "it is down", "", False))
    view.close()
    assert (
        "\r" not in terminal.getvalue()
        and "\x1b" not in terminal.getvalue()
        and "it is down" in terminal.getvalue()
    )


def test_a_command_in_a_sentence_is_not_broken() -> None:
    """It is to be copied."""
    text = (
        "it is refused, since nobody knows why: `rotator resume openai-prod --today` goes on with"
        " what it says"
    )
    lines = console.folded(text, 60, 4)
    assert (
        any("`rotator resume openai-prod --today`" in line for line in lines)
        and max(map(len, lines)) <= 60
    )
    assert " ".join(" ".join(lines).split()) == text
    assert console.folded(text, None) == [text]


def test_the_time_of_a_step_ends_its_last_line() -> None:
    head, words = "  store      ✓ ", "dotenv /srv/app/.env#KEY"
    assert laid_out(head, words, 0.21, 80)[0].endswith(" 0.2 s")
    assert laid_out(head, words, None, 80) == [f"{head}{words}"]


def test_seconds_that_are_left_are_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    view = StepView()
    told(view, ROTATION, CALL, Later(NOW, 1.0, text="read again within 300 s"), 1.0)
    assert "within 300 s" in capsys.readouterr().out
    told(view, ROTATION, CALL, Later(NOW, 1.0, text="read again within 299 s"), 1.0)
    assert capsys.readouterr().out == ""


def test_a_long_wait_is_told_where_output_goes_to_a_file_and_after_what_was_done_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Eleven minutes without a word look like a program that hangs."""
    view, later = StepView(), WaitUntil(time.time() + 3600.0, "grace of k")
    view(ROTATION, CALL, None, 0.0)
    view(ROTATION, CALL, Performed(Done(NOW), detail="nothing hinders it"), 0.1)
    view.waits(DEBT, later)
    said = capsys.readouterr().out
    assert said.index("preflight  ✓ nothing hinders it") < said.index("revoke     … grace of k")
    view.waits(DEBT, later)
    assert capsys.readouterr().out == "", "once a minute"
    view.waits(DEBT, WaitUntil(time.time() + 1.0, "revoke of k"))
    view.close()
    assert capsys.readouterr().out == "", "a moment is no wait, and nothing is said twice"
