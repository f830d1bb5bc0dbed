"""`rotator status`: each playbook, how it stands, what failed last, and who must do what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import CONTEXT, closing, examples, json_option, service
from rotator.core import debt as debt_machine
from rotator.core import machine
from rotator.core.action import Ask, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.order import UNDONE
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase, Rotation
from rotator.counting import count
from rotator.durations import words as span
from rotator.engine.keeper import short
from rotator.engine.staying import needs_attention
from rotator.journal import cases, killed, leases
from rotator.journal.leases import Holding
from rotator.journal.pauses import Pause
from rotator.playbook.playbook import Playbook
from rotator.usecases.report import where_keys_are_made
from rotator.usecases.service import Service

PERSON, CLOCK = "person", "clock"
_FAILED = {
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.REFUSED: "refused",
    Outcome.ABANDONED: "abandoned",
}
# As a row says it; the first that holds is shown.
ATTENTION, KEY_WANTED, TO_DESTROY = "needs attention", "waits for a key", "waits for a person"
PAUSED, ROTATING, ORPHAN, OVERDUE, DUE = "paused", "rotating", "possible orphan", "overdue", "due"
OLD_KEYS, OK = "old keys live", "ok"


@dataclass(frozen=True, slots=True)
class Todo:
    """What happens next: by whom, what, and (where a clock or a person's command does it) when and
    how.
    """

    who: str  # person, clock, or the process that works on it
    what: str
    command: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One playbook."""

    name: str
    playbook: Playbook | None
    rotation: Rotation | None
    kept: Any  # the rotation's row in the journal
    debts: tuple[Debt, ...]
    last: float | None
    counts_from: float | None  # its schedule does: the moment that the last success belonged to
    ends: float | None  # its key does, where the provider said so
    renew: float | None  # when a rotation is due for that
    pause: Pause | None
    holding: Holding | None
    now: float
    # The key in force was ordered to die, and consumers have no other one
    without: Key | None = None

    @property
    def running(self) -> Rotation | None:
        return (
            self.rotation
            if self.rotation is not None and self.rotation.phase is not Phase.ENDED
            else None
        )

    @property
    def failed(self) -> Rotation | None:
        """The last rotation, where it did not end as it should."""
        ended = self.rotation if self.running is None else None
        if ended is None or ended.outcome not in _FAILED or ended.problem in ("", UNDONE):
            return None
        return ended

    @property
    def attention(self) -> list[str]:
        found = [
            debt.attention
            for debt in self.debts
            if debt.attention and debt.phase is not DebtPhase.WATCH
        ]
        if self.without is not None:
            found.insert(0, words.without(self.name, self.without))
        if self.running is not None and self.running.phase is Phase.STUCK:
            return [self.running.question, *found]
        if self.running is not None and needs_attention(self.running):
            return [self.running.problem, *found]
        return found

    @property
    def due(self) -> float | None:
        return (
            self.playbook.due_at(self.counts_from, self.renew)
            if self.playbook is not None
            else None
        )

    @property
    def state(self) -> str:
        return next(self._states())

    def _states(self) -> Iterator[str]:
        if self.attention:
            yield ATTENTION
        if self.running is not None and _asks(self.running):
            yield KEY_WANTED
        if any(debt.asks for debt in self.debts):
            yield TO_DESTROY
        if self.pause is not None:
            yield PAUSED
        if self.running is not None:
            yield ROTATING
        if self.failed is not None:
            yield _FAILED[self.failed.outcome or Outcome.REFUSED]
        if self.rotation is not None and self.rotation.possible_orphan:
            yield ORPHAN
        max_age = self.playbook.shape.max_age if self.playbook is not None else None
        if max_age and self.last and self.now - self.last > max_age:
            yield OVERDUE
        if self.due is not None and self.due <= self.now:
            yield DUE
        yield OLD_KEYS if self.living else OK

    @property
    def living(self) -> list[Debt]:
        return [debt for debt in self.debts if debt.phase not in DEAD_PHASES]

    # --- who must do what ---
    def todo(self) -> list[Todo]:
        found = list(self._of_the_rotation())
        for debt in self.debts:
            found += self._of_an_old_key(debt)
        orphan = (
            self.rotation.possible_orphan
            if self.rotation is not None and self.running is None
            else ""
        )
        if orphan:
            look = f"see in the provider's console whose {orphan} is"
            found.append(Todo(PERSON, look, f"rotator keys {self.name}"))
        if self.playbook is None:
            found.append(Todo(PERSON, "its playbook is gone: put it back, rename or forget it"))
        elif self.ends is not None and self.due is None and self.running is None:
            when = (
                f"its key ends {words.moment(self.ends)}"
                if self.ends > self.now
                else "its key has ended"
            )
            found.append(
                Todo(PERSON, f"{when}, and it has no schedule", f"rotate {self.name}", self.renew)
            )
        return found

    def _of_the_rotation(self) -> Iterator[Todo]:
        running = self.running
        if running is None:
            if self.without is not None:
                hinders = (
                    f"see what hinders a new key (`rotate {self.name} --dry-run`); `rotate --due`"
                    " tries again"
                )
                yield Todo(PERSON, hinders, f"rotate {self.name}")
            elif self.failed is not None:
                again = self.due is not None and self.due <= self.now and self.pause is None
                tried = "; the next `rotate --due` tries again" if again else ""
                yield Todo(
                    PERSON, f"{self.failed.hint or 'see what failed'}{tried}", f"rotate {self.name}"
                )
            return
        action = machine.next_action(running)
        if self.holding is not None and not self.holding.expired:
            yield Todo(
                self.holding.holder,
                f"works on it since {span(max(0.0, self.now - self.holding.since))}",
            )
        elif running.phase is Phase.STUCK:
            look = (
                running.hint or f"see what stands in its way (`rotator show {short(running.id)}`)"
            )
            yield Todo(PERSON, look, f"rotator resume {self.name}")
        elif isinstance(action, Ask):
            where = where_keys_are_made(
                self.playbook.provider if self.playbook is not None else None
            )
            yield Todo(PERSON, f"make the new key {where}", f"rotator supply {self.name}")
        elif self.pause is None:
            at = action.at if isinstance(action, WaitUntil) else None
            yield Todo(CLOCK, f"it goes on with {running.phase}", "rotate --due", at)

    def _of_an_old_key(self, debt: Debt) -> Iterator[Todo]:
        action = debt_machine.next_action(debt)
        if debt.asks:
            yield Todo(
                PERSON,
                f"destroy {debt.key} in the provider's console",
                f"rotator confirm {self.name}",
            )
        elif debt.attention and debt.at_once and debt.phase not in DEAD_PHASES:
            console = (
                f"its provider does not destroy {debt.key} yet: destroy it in the console, or try"
                " again"
            )
            yield Todo(PERSON, console, f"rotator resume {self.name}")
        elif debt.attention and debt.phase is not DebtPhase.WATCH:
            yield Todo(
                PERSON,
                f"see who holds the old key {debt.key}",
                f"rotator doctor --explain {self.name}",
            )
        elif isinstance(action, WaitUntil) and debt.phase not in DEAD_PHASES and self.pause is None:
            yield Todo(
                CLOCK,
                f"the old key {debt.key} is revoked, once nobody holds it",
                "rotate --due",
                action.at,
            )

    # --- in words ---
    @property
    def next(self) -> str:
        if self.pause is not None:
            return f"until {words.moment(self.pause.until)}"
        if self.due is None:
            return "on demand" if self.playbook is not None else ""
        return "due now" if self.due <= self.now else f"due in {span(self.due - self.now)}"

    @property
    def cells(self) -> list[str]:
        state = self.state
        if state == ROTATING and self.running is not None:
            state = f"rotating: {self.running.phase}"
        elif state == OLD_KEYS:
            state = f"{count(len(self.living), 'old key')} waiting"
        rotated = f"rotated {words.age(self.last)}" if self.last else "never rotated"
        return [self.name, state, rotated, self.next]

    def details(self) -> Iterator[str]:
        """What stands below its row."""
        yield from self.attention
        if self.ends is not None and self.due is not None:
            earlier = ": it is due earlier for that" if self.due == self.renew else ""
            ending = (
                f"ends {words.moment(self.ends)}{earlier}" if self.ends > self.now else "has ended"
            )
            yield f"its key {ending}"
        if self.pause is not None:
            yield f"paused by {self.pause.who}: {self.pause.reason}"
        if (failed := self.failed) is not None:
            ended = words.age(self.kept["ended"]) if self.kept is not None else ""
            yield f"{short(failed.id)} was {failed.outcome} {ended}: {failed.problem}"
        for one in self.todo():
            when = f" after {words.moment(one.at)}" if one.at is not None else ""
            how = (
                f"{', then' if one.who == PERSON else ', by'} `{one.command}`"
                if one.command
                else ""
            )
            yield f"{one.who}: {one.what}{how}{when}"

    def json(self) -> dict[str, Any]:
        return {
            "playbook": self.name,
            "state": self.state,
            "attention": self.attention,
            "without": shapes.key(self.without),
            "last_success": shapes.at(self.last),
            "due": shapes.at(self.due),
            "key_ends": shapes.at(self.ends),
            "pause": shapes.pause(self.pause),
            "rotation": shapes.rotation(self.rotation, self.kept),
            "old_keys": [shapes.old_key(debt) for debt in self.debts],
            "todo": [{**asdict(one), "at": shapes.at(one.at)} for one in self.todo()],
        }


def _asks(rotation: Rotation) -> bool:
    action = machine.next_action(rotation)
    return isinstance(action, Ask) and action.kind == "supply"


@click.command(
    "status",
    context_settings=CONTEXT,
    epilog=examples("rotator status", "rotator status --json | jq '.playbooks[].todo'"),
)
@json_option
def status(as_json: bool) -> int:
    """All playbooks: when each is due, what failed last, what waits, and who must do what."""
    with closing(service()) as found:
        loaded = found.playbooks()
        rows = [row(found, name, loaded.playbooks.get(name)) for name in _all_names(found)]
    for mistake in loaded.mistakes:
        words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
    code = 4 if any(one.attention for one in rows) else 2 if loaded.mistakes else 0
    if as_json:
        return shapes.answer(
            code, shapes.mistakes(loaded.mistakes), playbooks=[one.json() for one in rows]
        )
    console.table([one.cells for one in rows], below=[list(one.details()) for one in rows])
    return code


def _all_names(found: Service) -> list[str]:
    """Today's playbooks, and those of which something is unfinished."""
    from sqlalchemy import select

    from rotator.journal import tables

    with found.journal.database.read() as connection:
        open_ones = {
            row[0] for row in connection.execute(select(tables.debts.c.playbook).where(tables.OPEN))
        }
        open_ones |= {
            row[0]
            for row in connection.execute(select(tables.rotations.c.playbook).where(tables.ACTIVE))
        }
        open_ones |= killed.names(connection)
    return sorted({*found.playbooks().playbooks, *open_ones})


def row(found: Service, name: str, playbook: Playbook | None) -> Row:
    """How it stands by the journal alone."""
    with found.journal.database.read() as connection:
        case = cases.load(connection, name)
        known = cases.playbook_row(connection, name)
        kept = (
            cases.find_rotation(connection, case.rotation.id) if case.rotation is not None else None
        )
        holding = leases.holding(connection, name)
    return Row(
        name,
        playbook,
        case.rotation,
        kept,
        tuple(debt for debt in case.debts if debt.open),
        known["last_success"] if known else None,
        known["counts_from"] if known else None,
        known["ends"] if known else None,
        known["renew"] if known else None,
        found.paused(name, playbook),
        holding,
        found.clock.now(),
        found.without(name),
    )
