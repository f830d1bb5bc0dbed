"""How playbooks stand, by the journal and their files alone: no provider and no store is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection

from rotator.core import machine
from rotator.core.action import Ask
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.order import UNDONE
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase, Rotation
from rotator.engine.fleet import Elsewhere, Present
from rotator.engine.staying import needs_attention
from rotator.journal import grouped, killed, notices, pauses, unfinished
from rotator.journal.cases import Case
from rotator.journal.leases import Holding
from rotator.journal.pauses import Pause
from rotator.playbook.mistakes import Mistake
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import FOREVER, Due
from rotator.usecases import placing, situation
from rotator.usecases.service import Service
from rotator.usecases.situation import Situation
from rotator.views import nodes
from rotator.views.history import RecordedRotation, recorded_in, undone_by
from rotator.views.nodes import NodeStatus
from rotator.views.notices import ChannelStatus

UNDONE_WHY = "undone"  # why no timer begins what a person undid


class State(StrEnum):
    """A playbook's state, the gravest first. The values stand in JSON: they keep their spelling."""

    ATTENTION = "needs attention"
    KEY_WANTED = "waits for a key"
    TO_DESTROY = "waits for a person"
    PAUSED = "paused"
    ROTATING = "rotating"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    ABANDONED = "abandoned"
    ORPHAN = "possible orphan"
    OVERDUE = "overdue"
    DUE = "due"
    OLD_KEYS = "old keys live"
    OK = "ok"


_FAILED = {
    Outcome.ROLLED_BACK: State.ROLLED_BACK,
    Outcome.REFUSED: State.REFUSED,
    Outcome.ABANDONED: State.ABANDONED,
}


@dataclass(frozen=True, slots=True)
class PlaybookStatus:
    """One playbook at the moment `now`. Times are Unix seconds."""

    name: str
    playbook: Playbook | None  # None: its file is gone, or has a mistake
    case: Case
    recorded: RecordedRotation | None  # the rotation that is under way, else the last one
    last_success: float | None
    key_ends: float | None  # where its provider said so
    renew: float | None  # when a rotation is due for that
    due: Due | None  # when the next rotation is; None without a schedule or a playbook
    pause: Pause | None  # that covers it, the longest
    holding: Holding | None  # who works on it, or did last
    without: Key | None  # in force and ordered to die, and consumers have no other one
    now: float
    undone_by: str = ""  # who, where a person's undo keeps timers from the next rotation
    elsewhere: Elsewhere | None = None  # why no node works on it, where none does
    group_held_by: str = ""  # the playbook of its group that is being rotated

    @property
    def rotation(self) -> Rotation | None:
        """The rotation that is under way, else the last one."""
        return self.case.rotation

    @property
    def running(self) -> Rotation | None:
        rotation = self.rotation
        return rotation if rotation is not None and rotation.phase is not Phase.ENDED else None

    @property
    def failed(self) -> Rotation | None:
        """The last rotation, where it did not end as it should."""
        ended = self.rotation if self.running is None else None
        if ended is None or ended.outcome not in _FAILED or ended.problem in ("", UNDONE):
            return None
        return ended

    @property
    def debts(self) -> tuple[Debt, ...]:
        """Of its old keys, the debts that are open."""
        return self.case.debts

    @property
    def living(self) -> tuple[Debt, ...]:
        """Debts whose keys still live."""
        return tuple(debt for debt in self.debts if debt.phase not in DEAD_PHASES)

    @property
    def worked_on(self) -> bool:
        """Whether a process holds its lease now."""
        return self.holding is not None and not self.holding.expired

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person must look at, as the engine words it: a question of the rotation that is
        under way, why it fails, why old keys are not revoked.
        """
        running = self.running
        found = [
            debt.attention
            for debt in self.debts
            if debt.attention and debt.phase is not DebtPhase.WATCH
        ]
        if running is not None and running.phase is Phase.STUCK:
            found.insert(0, running.question)
        elif running is not None and needs_attention(running):
            found.insert(0, running.problem)
        return tuple(found)

    @property
    def needs_attention(self) -> bool:
        """Whether it stands, or its consumers do, until a person acts."""
        return self.without is not None or bool(self.problems)

    @property
    def is_due(self) -> bool:
        """Whether a timer would begin it."""
        due, away = self.due, self.elsewhere is not None
        free = not away and not self.group_held_by
        return due is not None and due.begins <= self.now and free

    @property
    def put_off(self) -> str:
        """Why it does not begin although it is due; '' where it does, or is not due."""
        due = self.due
        if due is None:
            return ""
        if self.now >= due.begins:
            held = "group" if self.group_held_by else ""
            return str(self.elsewhere.why) if self.elsewhere is not None else held
        return due.why if due.at <= self.now or due.why == UNDONE_WHY else ""

    @property
    def overdue(self) -> bool:
        """Whether its key is older than the playbook's `max_age`."""
        max_age = self.playbook.shape.max_age if self.playbook is not None else None
        last = self.last_success
        return bool(max_age and last and self.now - last > max_age)

    @property
    def state(self) -> State:
        return next(self._states())

    def _states(self) -> Iterator[State]:
        """All that hold, the gravest first."""
        if self.needs_attention:
            yield State.ATTENTION
        if self.running is not None and waits_for_a_key(self.running):
            yield State.KEY_WANTED
        if any(debt.asks for debt in self.debts):
            yield State.TO_DESTROY
        if self.pause is not None:
            yield State.PAUSED
        if self.running is not None:
            yield State.ROTATING
        if self.failed is not None:
            yield _FAILED[self.failed.outcome or Outcome.REFUSED]
        if self.rotation is not None and self.rotation.possible_orphan:
            yield State.ORPHAN
        if self.overdue:
            yield State.OVERDUE
        if self.is_due:
            yield State.DUE
        yield State.OLD_KEYS if self.living else State.OK


@dataclass(frozen=True, slots=True)
class Status:
    """All playbooks of today, and those of which something is unfinished, by name; the mistakes of
    those that do not load; and channels by which people are not told.
    """

    playbooks: tuple[PlaybookStatus, ...]
    mistakes: tuple[Mistake, ...]
    nodes: tuple[NodeStatus, ...] = ()  # the daemons of this journal
    not_told: tuple[ChannelStatus, ...] = ()


def waits_for_a_key(rotation: Rotation) -> bool:
    """Whether a person is to make its new key."""
    action = machine.next_action(rotation)
    return isinstance(action, Ask) and action.kind == "supply"


def status(service: Service) -> Status:
    """All playbooks, read in one transaction."""
    loaded, now = service.playbooks(), service.clock.now()
    with service.journal.database.read() as connection:
        standing, fleet = pauses.standing(connection, now), service.fleet
        present, newest = fleet.present(connection, now), fleet.newest(connection)
        names = {*loaded.playbooks, *unfinished.at_all(connection), *killed.names(connection)}
        found = tuple(
            replace(
                _read(connection, name, (book := loaded.playbooks.get(name)), standing, now),
                elsewhere=placing.nowhere(connection, present, name, book, newest),
            )
            for name in sorted(names)
        )
        living = nodes.read(connection, now)
        left = notices.outstanding(connection)
    found = tuple(_with_what_was_begun(service, one, present) for one in found)
    channels = (ChannelStatus(name, None, one) for name, one in sorted(left.items()))
    failing = tuple(one for one in channels if not one.well)
    return Status(found, tuple(loaded.mistakes), living, failing)


def status_of(service: Service, name: str, playbook: Playbook | None) -> PlaybookStatus:
    """`playbook`: today's; None where it is gone or broken."""
    now = service.clock.now()
    with service.journal.database.read() as connection:
        found = _read(connection, name, playbook, pauses.standing(connection, now), now)
        present = service.fleet.present(connection, now)
        newest = service.fleet.newest(connection, name)
        away = placing.nowhere(connection, present, name, playbook, newest)
    return _with_what_was_begun(service, replace(found, elsewhere=away), present)


def _with_what_was_begun(
    service: Service, found: PlaybookStatus, present: Present
) -> PlaybookStatus:
    """And why nothing goes on of what was begun by another text of the playbook."""
    under_way = found.running is not None or found.debts
    if found.elsewhere is not None or not under_way:
        return found
    return replace(found, elsewhere=service.begun_nowhere(found.name, found.playbook, present))


def _read(
    connection: Connection,
    name: str,
    playbook: Playbook | None,
    standing: Iterable[Pause],
    now: float,
) -> PlaybookStatus:
    present = situation.read(connection, name, playbook, now, standing)
    case, row = present.case, present.row
    recorded = recorded_in(connection, case.rotation) if case.rotation is not None else None
    counts_from, renew = (row["counts_from"], row["renew"]) if row else (None, None)
    return PlaybookStatus(
        name,
        playbook,
        case,
        recorded,
        row["last_success"] if row else None,
        row["ends"] if row else None,
        renew,
        _due(present, playbook, counts_from, renew, now) if playbook is not None else None,
        present.pause,
        present.holding,
        present.without,
        now,
        undone_by(connection, recorded) if recorded and present.retry >= FOREVER else "",
        group_held_by=_group_held_by(connection, name, playbook),
    )


def _group_held_by(connection: Connection, name: str, playbook: Playbook | None) -> str:
    group = playbook.shape.group if playbook is not None else None
    return grouped.holder(connection, group, name) if group is not None else ""


def _due(
    present: Situation,
    playbook: Playbook,
    counts_from: float | None,
    renew: float | None,
    now: float,
) -> Due | None:
    """When it is due, and when a timer begins it: after a failure not at once, and never what a
    person undid.
    """
    at = now if present.retry >= FOREVER else max(now, present.retry)
    due = playbook.due(counts_from, at, renew)
    if due is None or present.retry <= now:
        return due
    why = UNDONE_WHY if present.retry >= FOREVER else "failure"
    return replace(due, begins=max(due.begins, present.retry), why=why)
