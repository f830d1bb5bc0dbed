"""What a run over all playbooks did is counted as what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.cli import demo
from rotator.cli.counted import counted
from rotator.cli.reported import report
from rotator.core.action import Ask, Finish
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.plan import Plan
from rotator.core.state import Outcome, Phase, Rotation
from rotator.counting import about, count, span
from rotator.usecases.report import Report
from tests.unit import decisions

DONE = replace(decisions.ROTATION, phase=Phase.ENDED, outcome=Outcome.VERIFIED)


def _report(
    name: str, rotation: Rotation | None = DONE, *debts: Debt, ask: bool = False, **more: bool
) -> Report:
    return Report(name, rotation, debts, Ask("supply", "") if ask else Finish(None), **more)


def test_each_playbook_is_counted_once_by_how_it_ended() -> None:
    reports = [
        _report("rotated"),
        _report("revoked"),
        _report("back", replace(DONE, outcome=Outcome.ROLLED_BACK)),
        _report("held", DONE, decisions.DEBT.held("somebody holds it")),
        _report("person", replace(DONE, phase=Phase.GENERATE, outcome=None), ask=True),
        _report("long", replace(DONE, phase=Phase.VERIFY, outcome=None)),
        _report("idle", untouched=True),
    ]
    steps = {"rotated": ["verify", "revoke"], "revoked": ["revoke"]}
    finished = {name: [{"step": step, "ok": True} for step in done] for name, done in steps.items()}
    assert (
        counted(reports, finished)
        == ": 1 rotated, 1 old key revoked, 1 rolled back, 1 needs attention, 1 waits for a person,"
        " 1 waits"
    )
    assert counted(reports[-1:], {}) == ", nothing was due"


def test_what_a_playbook_says_otherwise_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stuck = replace(DONE, phase=Phase.STUCK, outcome=None, question="it did not come up")
    report(replace(_report("one", stuck), differs=("restart: no longer x", "restart: now y")))
    assert (
        "by now: restart: no longer x; restart: now y\nhint: `rotator resume"
        in capsys.readouterr().err
    )


def test_the_scenes_of_the_demo_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    demo._show("\n2. a scene:\n$ rotate demo --wait\n  Killed")
    assert capsys.readouterr().out == "\n2. a scene:\n$ rotate demo --wait\n  Killed\n"


def test_singular_and_plural() -> None:
    reports = [_report(f"p{number}") for number in range(2)]
    finished = {one.playbook: [{"step": "revoke", "ok": True}] for one in reports}
    assert counted(reports, finished) == ": 2 old keys revoked"
    held = [
        _report(f"p{number}", DONE, decisions.DEBT.held("somebody holds it")) for number in range(2)
    ]
    assert counted(held, {}) == ": 2 need attention"
    asked = [
        _report(f"p{n}", replace(DONE, phase=Phase.GENERATE, outcome=None), ask=True)
        for n in range(2)
    ]
    assert counted(asked, {}) == ": 2 wait for a person"
    assert [count(number, "try", "tries") for number in (0, 1, 2)] == [
        "0 tries",
        "1 try",
        "2 tries",
    ]


def test_of_several_each_line_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    report(_report("one"), many=True)
    report(
        _report("two", replace(DONE, outcome=Outcome.ROLLED_BACK, problem="it crashed")), many=True
    )
    said = capsys.readouterr()
    assert said.out.startswith("one: verified in 0 s.") and said.err.startswith(
        "error: two: rolled back, the old key is in force (r-"
    )


def test_no_length_of_time_that_passed_is_said_to_be_none() -> None:
    """A wait of a moment is told in its own unit, a longer one in whole seconds."""
    assert [about(length) for length in (0.001, 0.2, 0.9973, 17.34, 90.2)] == [
        "1 ms",
        "200 ms",
        "1 s",
        "17 s",
        "1 min 30 s",
    ]
    assert span(0.0) == "0 s"


@pytest.mark.parametrize("hint", ["is it the right name?", "take it out", "Take it out."])
def test_what_others_hint_at_is_joined_to_no_sentence_of_ours(
    hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of them stands in a line of its own, whatever it ends with; a problem comes last."""
    ended = replace(DONE, outcome=Outcome.REFUSED, problem="it says no.", hint=hint)
    report(_report("one", replace(ended, compromised=True)))
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: refused, and nothing was changed (r-")
    assert said[0].endswith("): it says no.")
    again = "hint: `rotate p --compromised` once more: the leaked key lives until then"
    assert said[1:] == [f"hint: {hint}", again]
    stuck = replace(DONE, phase=Phase.STUCK, outcome=None, question="who has it?", hint=hint)
    report(_report("one", stuck))
    orders = "hint: then `rotator resume p` or `rotator undo p`"
    assert capsys.readouterr().err.splitlines()[1:] == [f"hint: {hint}", orders]


def test_a_hint_that_has_the_orders_gets_no_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    """By where the rotation got stuck, not by what the hint says."""
    way = "no store was written; `rotator resume one` looks again, `rotator undo` gives it up"
    stuck = replace(
        DONE, phase=Phase.STUCK, came_from=Phase.RECOGNISE, outcome=None, question="?", hint=way
    )
    report(_report("one", stuck))
    assert capsys.readouterr().err.splitlines()[1:] == [f"hint: {way}"]


def test_a_key_that_a_person_did_not_destroy_is_named_once_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    debt = replace(
        decisions.DEBT,
        plan=Plan(supplied=True),
        phase=DebtPhase.REVOKE,
        attention=f"{decisions.DEBT.key} was said to be destroyed, and still works",
    )
    report(_report("one", None, debt))
    said = capsys.readouterr()
    key = decisions.DEBT.key
    assert said.out == "" and said.err.splitlines() == [
        f"error: an old key needs attention: {key} was said to be destroyed, and still works",
        "hint: destroy it in the provider's console, then `rotator confirm p`",
    ]
