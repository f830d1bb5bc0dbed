"""What a person sees while something is tried again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rotator.cli.steps import StepView
from rotator.core.action import Call, Done, Failed, Later, Op, Result, Unknown, WaitUntil
from rotator.core.state import Cause, Debt, DebtPhase, Key, Phase, Plan, Rotation
from rotator.engine.performed import Performed

NOW = 1_700_000_000.0
ROTATION = Rotation("r", "one", Plan(), Phase.PREFLIGHT, now=NOW, since=NOW, tries=1)
DEBT = Debt("d", "one", "r", Key("k"), Cause.ROTATED, Plan(), DebtPhase.LOOK, now=NOW, since=NOW, tries=4)
CALL = Call(Op.PREFLIGHT, "preflight")


class Live:
    def __init__(self) -> None:
        self.text = ""

    def update(self, text: str) -> None:
        self.text = text

    def stop(self) -> None:
        self.text = ""


def told(view: StepView, unit: Rotation | Debt, call: Call, result: Result, wait: float = 5.0) -> None:
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
    assert said.startswith("one:   revoke") and "503; try 5 at " in said and "without end" in said


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


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    view: Any = StepView(quiet=True)
    told(view, ROTATION, CALL, Failed(NOW, "it is down", "", False))
    view.close()
    assert capsys.readouterr().out == "" and json.dumps(view.finished)
