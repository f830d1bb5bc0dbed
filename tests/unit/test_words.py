"""What a run over all playbooks did is counted as what it was."""

from __future__ import annotations

from dataclasses import replace

from rotator.cli.words import counted
from rotator.core.action import Ask, Finish
from rotator.core.state import Debt, Outcome, Phase, Rotation
from rotator.report import Report
from tests.unit import decisions

DONE = replace(decisions.ROTATION, phase=Phase.ENDED, outcome=Outcome.VERIFIED)


def _report(name: str, rotation: Rotation | None = DONE, *debts: Debt, ask: bool = False, **more: bool) -> Report:
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
    assert counted(reports, finished) == (
        ": 1 rotated, 1 old key revoked, 1 rolled back, 1 needs attention, 1 waits for a person, 1 waits"
    )
    assert counted(reports[-1:], {}) == ", nothing was due"
