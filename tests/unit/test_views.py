"""Views are data without words: each kind of thing in them has its words in cli/."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import pytest

from rotator.cli import check, doctor, explained, overview, todos
from rotator.cli.notify import not_sent
from rotator.core.look import Verdict
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase
from rotator.journal.cases import Case
from rotator.journal.leases import Holding
from rotator.journal.notices import Outstanding
from rotator.journal.pauses import Pause
from rotator.journal.ticks import Tick
from rotator.playbook.mistakes import Mistake
from rotator.schedules.rules import Due
from rotator.views.callers import Callers
from rotator.views.environment_keys import KeyState
from rotator.views.explain import Event, Explanation, Next, Reason, Why
from rotator.views.health import Check, Checked
from rotator.views.history import RecordedRotation
from rotator.views.notices import ChannelStatus
from rotator.views.status import PlaybookStatus, State
from rotator.views.todo import CLOCK, PERSON, Step, Todo, todo
from tests.unit import decisions

NOW = 1_826_841_600.0  # 2027-11-22 00:00 UTC
LEFT = Outstanding("ops", 2, NOW, 1, "no answer in 10 s")
CHANNEL = ChannelStatus("ops", None, LEFT)
KEY = Key("key-1", "fingerprint", "k…1")
DEBT = decisions.DEBT.held("somebody holds it")
ENDED = replace(decisions.ROTATION, phase=Phase.ENDED, outcome=Outcome.VERIFIED)
STUCK = replace(decisions.ROTATION, phase=Phase.STUCK, question="which one is it?")
STATUS = PlaybookStatus(
    name="one",
    playbook=None,
    case=Case(ENDED, ()),
    recorded=RecordedRotation(ENDED, "ann", "", NOW - 60, NOW - 30),
    last_success=NOW - 30,
    key_ends=None,
    renew=None,
    due=None,
    pause=None,
    holding=None,
    without=None,
    now=NOW,
)
FULL = replace(
    STATUS,
    case=Case(STUCK, (DEBT,)),
    pause=Pause("all", NOW + 60, "the launch", "ann", NOW),
    holding=Holding("bob/7@host", 1, "rotation", STUCK.id, NOW - 60, "", expired=False),
    without=KEY,
    due=Due(NOW + 3600, NOW + 3600),
)
CALLERS = Callers(Tick("due", "ann@host", NOW - 60), ("a.timer",), (), 1, NOW)


@pytest.mark.parametrize(
    ("kinds", "worded"),
    [
        (Step, todos.TEXTS.keys() | todos.COMPOSED.keys()),
        (Step, todos.COMMANDS.keys()),
        (Why, explained.REASONS.keys()),
        (Event, explained.EVENTS.keys()),
        (Check, doctor.TEXTS.keys()),
        (KeyState, check.TEXTS.keys()),
    ],
    ids=["what is to be done", "commands", "reasons", "events", "checks", "keys"],
)
def test_each_kind_has_its_words(kinds: type[StrEnum], worded: set[StrEnum]) -> None:
    assert set(kinds) == worded


def test_no_todo_is_worded_in_two_ways() -> None:
    assert not todos.TEXTS.keys() & todos.COMPOSED.keys()


@pytest.mark.parametrize("step", Step)
def test_each_todo_can_be_worded(step: Step) -> None:
    line = todos.word(FULL, Todo(step, PERSON, KEY, NOW, "the hint")).line
    assert line.startswith("person: ") and "{" not in line


@pytest.mark.parametrize("step", [Step.LOOK_AND_RESUME, Step.ROTATE_ANEW])
def test_a_hint_of_others_stands_in_no_sentence_of_ours(step: Step) -> None:
    todo = todos.word(FULL, Todo(step, PERSON, detail="is it the right name?"))
    assert todo.hint == "is it the right name?" and "?" not in todo.line


@pytest.mark.parametrize("check", Check)
def test_what_is_well_has_no_hint(check: Check) -> None:
    """`doctor --json` gave that of the fault with it."""
    asked = {"callers": CALLERS, "channel": CHANNEL}
    found = Checked(check, "one", True, hint="put it back", key=KEY, debt=DEBT, **asked)
    well = doctor.line(found)
    assert well.ok and well.hint == ""


@pytest.mark.parametrize("why", Why)
def test_each_reason_can_be_worded(why: Why) -> None:
    verdict = Verdict(stores=("file a",))
    reason = Reason(why, DEBT, Mistake("one.yaml", 1, 2, "no"), verdict, "the detail")
    (line,) = explained.why(Explanation(FULL, (reason,), (), ()))
    assert line and "{" not in line


@pytest.mark.parametrize("event", Event)
def test_each_event_can_be_worded(event: Event) -> None:
    ahead = Explanation(FULL, (), (Next(event, NOW, DEBT, "supply"),), ())
    ((at, line),) = explained.ahead(ahead)
    assert at == NOW and line and "{" not in line


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("what", Check)
def test_each_check_can_be_worded(what: Check, ok: bool) -> None:
    plugins = (("store", 2),)
    asked = {"callers": CALLERS, "channel": CHANNEL}
    checked = Checked(what, "one", ok, "the detail", key=KEY, debt=DEBT, plugins=plugins, **asked)
    line = doctor.line(checked)
    assert line.text and line.ok is ok and "{" not in line.text + line.hint


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (Outstanding("ops"), "all sent"),
        (Outstanding("ops", 1, NOW), "1 notice waits since "),
        (Outstanding("ops", 0, None, 1, "gone"), "1 notice was given up: gone"),
        (LEFT, "and 1 notice was given up: no answer in 10 s"),
    ],
)
def test_what_was_not_sent_is_worded(left: Outstanding, words: str) -> None:
    assert words in not_sent(ChannelStatus("ops", None, left))


def test_a_verdict_words_itself_for_the_key_that_is_meant() -> None:
    verdict = Verdict(stores=("file a",), instances=("unit b 7",), unproven=("unit c",))
    assert verdict.words("it") == "file a holds it; unit b 7 holds it; unit c may still hold it"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, State.OK),
        ({"due": Due(NOW, NOW)}, State.DUE),
        ({"without": KEY}, State.ATTENTION),
        ({"pause": FULL.pause, "due": NOW}, State.PAUSED),
        ({"case": Case(STUCK, ())}, State.ATTENTION),
        ({"case": Case(decisions.ROTATION, ())}, State.ROTATING),
        ({"case": Case(replace(ENDED, possible_orphan="a label"), ())}, State.ORPHAN),
        ({"case": Case(ENDED, (decisions.DEBT,))}, State.OLD_KEYS),
        ({"case": Case(ENDED, (DEBT,))}, State.ATTENTION),
    ],
)
def test_the_gravest_state_is_shown(changes: dict[str, object], state: State) -> None:
    status = replace(STATUS, **changes)  # type: ignore[arg-type]
    assert status.state is state
    assert status.needs_attention is (state is State.ATTENTION)
    assert overview.cells(status)[0] == "one"


def test_what_a_person_ordered_is_no_failure() -> None:
    back = replace(ENDED, outcome=Outcome.ROLLED_BACK, problem="undone by a person's order")
    assert replace(STATUS, case=Case(back, ())).failed is None
    failed = replace(back, problem="the store refused it")
    assert replace(STATUS, case=Case(failed, ())).failed == failed


def test_who_is_at_it_comes_before_what_a_person_could_do() -> None:
    steps = [(one.step, one.who) for one in todo(FULL)]
    assert steps[0] == (Step.WATCH, "bob/7@host")
    alone = replace(FULL, holding=None, pause=None)
    assert (Step.LOOK_AND_RESUME, PERSON) in [(one.step, one.who) for one in todo(alone)]
    going_on = replace(alone, case=Case(decisions.ROTATION, ()))
    assert (Step.CARRY_ON, CLOCK) in [(one.step, one.who) for one in todo(going_on)]


@pytest.mark.parametrize(
    ("found", "ok", "words"),
    [
        (Callers(None, (), (), 0, NOW), True, "no playbook has a schedule"),
        (Callers(None, (), (), 2, NOW), False, "2 playbooks have a schedule, and nobody calls"),
        (Callers(None, ("a.timer",), (), 2, NOW), True, "never called yet (a.timer)"),
        (
            Callers(Tick("due", "x", NOW - 90_000), ("a.timer",), (), 2, NOW),
            False,
            "last called 1 d 1 h",
        ),
        (Callers(Tick("due", "x", NOW - 90_000), (), (), 2, NOW), False, "nobody calls"),
        (Callers(Tick("daemon", "x", NOW - 9), (), (), 2, NOW), True, "the daemon looked"),
        (Callers(Tick("daemon", "x", NOW - 900), (), (), 2, NOW), True, "last called 15 min"),
    ],
)
def test_who_calls_is_worded(found: Callers, ok: bool, words: str) -> None:
    checked = Checked(Check.CALLED, "schedules", not (found.nobody or found.silent), callers=found)
    assert checked.ok is ok and words in doctor.line(checked).text, doctor.line(checked).text
