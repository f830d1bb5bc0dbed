"""Every outcome and its exit code, written down: a script of a user's decides by these numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import rotator
from rotator.core.action import Finish
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.plan import Key, Plan, Policy
from rotator.core.state import Cause, Outcome, Phase, Rotation
from rotator.engine.stopping import Stopping
from rotator.errors import (
    BusyError,
    ConfigError,
    JournalError,
    LeaseLost,
    PermanentError,
    RefusedError,
)
from rotator.usecases.exit_codes import End, Exit, of_error, worst
from rotator.usecases.report import Report, code_of, code_of_due

NOW = 1_000_000.0
PLAN = Plan(policy=Policy(deadline=600.0))
DONE = Rotation("r", "one", PLAN, Phase.ENDED, now=NOW, since=NOW, outcome=Outcome.VERIFIED)
KEY = Key("k")
OLD = Debt("d", "one", "r", KEY, Cause.ROTATED, PLAN, DebtPhase.GRACE, now=NOW, since=NOW, born=NOW)
HELD = replace(OLD, phase=DebtPhase.HELD, attention="somebody holds it")
ASKS = replace(OLD, phase=DebtPhase.REVOKE, plan=replace(PLAN, supplied=True))
DEAD = replace(OLD, phase=DebtPhase.PAID, at_once=True)
DYING = replace(OLD, phase=DebtPhase.REVOKE, at_once=True)
RETRIED = replace(DYING, attention="503")


def _rotation(
    phase: Phase = Phase.ENDED, outcome: Outcome | None = None, **more: object
) -> Rotation:
    return replace(DONE, phase=phase, outcome=outcome, **more)  # type: ignore[arg-type]


def _report(rotation: Rotation | None = DONE, *debts: Debt, **more: object) -> Report:
    return Report("one", rotation, debts, Finish(None), **more)  # type: ignore[arg-type]


CODES = {
    End.NOTHING: 0,
    End.VERIFIED: 0,
    End.UNDONE: 0,
    End.GIVEN_UP: 0,
    End.KILLED: 0,
    End.SAID: 0,
    End.FAILED: 1,
    End.FOUND: 1,
    End.INTERNAL: 1,
    End.OUTPUT_LOST: 1,
    End.MISTAKE: 2,
    End.ROLLED_BACK: 3,
    End.BACK_FAILED: 3,
    End.ABANDONED: 4,
    End.STUCK: 4,
    End.SETTLING: 4,
    End.FAILING: 4,
    End.WITHOUT_KEY: 4,
    End.KILL_FAILED: 4,
    End.OLD_KEY_HELD: 4,
    End.NEEDS_PERSON: 4,
    End.UNFINISHED: 5,
    End.KILL_UNFINISHED: 5,
    End.OLD_KEY_ASKS: 5,
    End.REFUSED: 6,
    End.WOULD_REFUSE: 6,
    End.BUSY: 75,
    End.INTERRUPTED: 130,
    End.TERMINATED: 143,
    End.PIPE_CLOSED: 141,
}
LEAKED = _rotation(outcome=Outcome.VERIFIED, compromised=True)
REPORTS = [
    (_report(None), End.NOTHING),
    (_report(None, HELD), End.NOTHING),
    (_report(), End.VERIFIED),
    (_report(_rotation(outcome=Outcome.ROLLED_BACK)), End.ROLLED_BACK),
    (_report(_rotation(outcome=Outcome.ROLLED_BACK), ordered=True), End.UNDONE),
    (_report(_rotation(outcome=Outcome.ROLLED_BACK), HELD, ordered=True), End.OLD_KEY_HELD),
    (_report(None, ASKS, ordered=True), End.OLD_KEY_ASKS),
    (_report(None, ordered=True), End.NOTHING),
    (_report(_rotation(outcome=Outcome.ROLLED_BACK, back=True), ordered=True), End.BACK_FAILED),
    (_report(_rotation(outcome=Outcome.REFUSED), ordered=True), End.REFUSED),
    (_report(_rotation(outcome=Outcome.ABANDONED)), End.ABANDONED),
    (_report(_rotation(Phase.STUCK)), End.STUCK),
    (_report(_rotation(Phase.SETTLE)), End.SETTLING),
    (_report(_rotation(Phase.DISCARD, tries=3, since=NOW - 600)), End.FAILING),
    (_report(_rotation(Phase.VERIFY, tries=3, since=NOW - 600), ordered=True), End.UNFINISHED),
    (_report(DONE, without=KEY), End.WITHOUT_KEY),
    (_report(LEAKED, kills=(DEAD,)), End.KILLED),
    (_report(None, kills=(DEAD,)), End.KILLED),
    (_report(LEAKED, kills=(DEAD, RETRIED)), End.KILL_FAILED),
    (_report(_rotation(outcome=Outcome.REFUSED, compromised=True), kills=(DEAD,)), End.KILL_FAILED),
    (_report(_rotation(Phase.STUCK, compromised=True), kills=(DEAD,)), End.KILL_FAILED),
    (_report(_rotation(Phase.WRITE, compromised=True), kills=(DEAD,)), End.KILL_UNFINISHED),
    (_report(LEAKED, kills=(DYING,)), End.KILL_UNFINISHED),
    (
        _report(_rotation(Phase.WRITE, compromised=True), kills=(DEAD,), followed=True),
        End.KILLED,
    ),
    (_report(DONE, error=BusyError("held")), End.BUSY),
    (_report(DONE, error=Stopping()), End.TERMINATED),
]


def test_every_outcome_has_the_code_that_is_written_down() -> None:
    assert {end: int(end.code) for end in End} == CODES
    assert {end.code for end in End} == set(Exit), "a code without an outcome"


@pytest.mark.parametrize(("report", "end"), REPORTS, ids=[end.name for _, end in REPORTS])
def test_how_the_work_on_a_playbook_ended(report: Report, end: End) -> None:
    assert (report.end, report.code) == (end, CODES[end])


def test_an_old_key_that_needs_attention_counts_in_every_run() -> None:
    assert (_report(DONE, HELD).code, _report(DONE, HELD).code_of_all) == (0, 4)
    assert code_of([_report(), _report(None, HELD)]) == 4
    assert _report(_rotation(outcome=Outcome.REFUSED), HELD).code_of_all == 6


def test_who_waits_for_old_keys_hears_of_one_that_a_person_must_destroy() -> None:
    assert code_of([_report(DONE, ASKS)]) == 0
    assert code_of([_report(DONE, ASKS)], wait=True) == 5
    assert code_of([_report(DONE, ASKS, HELD)], wait=True) == 4


def test_a_timer_passes_over_what_its_next_call_finds_again() -> None:
    waits = _report(_rotation(Phase.VERIFY))
    busy = _report(None, error=BusyError("held"))
    refused = _report(None, error=RefusedError("no"))
    assert code_of_due([waits, busy, _report()], mistakes=False) == 0
    assert code_of_due([waits, refused], mistakes=False) == 6
    assert code_of_due([waits, refused], mistakes=True) == 6
    assert code_of_due([waits], mistakes=True) == 2
    assert code_of_due([_report(_rotation(Phase.VERIFY), HELD)], mistakes=False) == 0


def test_the_most_severe_of_several_codes() -> None:
    order = [4, 3, 1, 6, 2, 5, 75, 0]
    for at, code in enumerate(order):
        assert worst(order[at:]) == code
    assert worst([]) == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (RefusedError("x"), 6),
        (BusyError("x"), 75),
        (LeaseLost("x"), 75),
        (JournalError("x"), 1),
        (PermanentError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_ends_the_process_with_its_code(error: Exception, code: int) -> None:
    assert of_error(error).code == code  # type: ignore[arg-type]


def _choices(value: ast.expr | None) -> Iterator[ast.expr]:
    """What an expression may come to, as far as it is written out."""
    match value:
        case ast.IfExp():
            yield from (*_choices(value.body), *_choices(value.orelse))
        case ast.BoolOp():
            yield from (choice for part in value.values for choice in _choices(part))
        case ast.Tuple() | ast.List() | ast.Set():
            yield from (choice for part in value.elts for choice in _choices(part))
        case ast.expr():
            yield value


def _decided(tree: ast.AST) -> Iterator[int]:
    """Lines in which a number that is not 0 becomes, or is compared with, an exit code."""
    for node in ast.walk(tree):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Return):
            values = [node.value]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            values = [node.value] if any(name.endswith("code") for name in names) else []
        elif isinstance(node, ast.keyword):
            values = [node.value] if (node.arg or "").endswith("code") else []
        elif isinstance(node, ast.Compare):
            about = ast.unparse(node.left).rpartition(".")[2].startswith("code")
            values = [*node.comparators] if about else []
        for choice in (choice for value in values for choice in _choices(value)):
            if isinstance(choice, ast.Constant) and type(choice.value) is int and choice.value:
                yield choice.lineno


def test_no_verb_decides_a_number_by_itself() -> None:
    assert [*_decided(ast.parse("def verb():\n    return 4 if bad else 0"))] == [2]
    assert [*_decided(ast.parse("code = one.code or 5"))] == [1]
    assert [*_decided(ast.parse("quiet = one.code in (75, 0)"))] == [1]
    root = Path(rotator.__file__).parent
    found = {
        f"{path.relative_to(root)}:{line}"
        for folder in ("cli", "usecases", "views")
        for path in sorted((root / folder).rglob("*.py"))
        for line in _decided(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert not found
