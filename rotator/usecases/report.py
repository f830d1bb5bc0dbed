"""How it stands with one playbook after a command, and how the command ended for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rotator.core import incident
from rotator.core.action import Action
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase, Rotation
from rotator.engine.staying import needs_attention
from rotator.errors import RotatorError
from rotator.plugin import ConsoleSteps, console_of
from rotator.usecases import exit_codes
from rotator.usecases.exit_codes import FOR_LATER, End, Exit


@dataclass(frozen=True)
class Report:
    """How it stands with one playbook after a command. `seconds` is how long it took."""

    playbook: str
    rotation: Rotation | None
    debts: tuple[Debt, ...]
    action: Action
    error: RotatorError | None = None
    seconds: float = 0.0
    untouched: bool = False  # not due
    ordered: bool = False  # a person ordered it: undone as ordered is success
    kills: tuple[Debt, ...] = ()  # keys that were ordered to die first
    taken: tuple[str, ...] = ()  # what it goes on with by a person's order, line by line
    # It is stuck, and today's playbook says otherwise than the one it goes by
    differs: tuple[str, ...] = ()
    console: str = ""  # where a person makes the key that is waited for
    steps: tuple[str, ...] = ()  # what a person does there, a sentence each
    followed: bool = False  # another process holds the lease and carries it on
    # The key in force was ordered to die, and consumers have no other one
    without: Key | None = None

    @property
    def end(self) -> End:
        """How the work ended, old keys that wait for something else not counted."""
        if self.error is not None:
            return exit_codes.of_error(self.error)
        if self.without is not None:
            return End.WITHOUT_KEY
        if self.kills:
            return self._end_of_kills
        rotation = self.rotation
        if rotation is not None and rotation.phase is not Phase.ENDED:
            return _unfinished(rotation)
        return self._end_of_order if self.ordered else _ended(rotation)

    @property
    def _end_of_kills(self) -> End:
        """Of an order to kill: success only where each of these keys is dead and consumers have, or
        get, another one.
        """
        endings, rotation = [incident.ending(debt) for debt in self.kills], self.rotation
        replaced = rotation is not None and rotation.compromised
        outcome = rotation.outcome if rotation is not None else None
        in_vain = replaced and outcome not in (None, Outcome.VERIFIED)
        stuck = rotation is not None and rotation.phase is Phase.STUCK
        if incident.Ending.RETRIED in endings or in_vain or stuck:
            return End.KILL_FAILED
        coming = replaced and outcome is None and not self.followed
        waiting = coming or incident.Ending.ASKED in endings or None in endings
        return End.KILL_UNFINISHED if waiting else End.KILLED

    @property
    def _end_of_order(self) -> End:
        """Of what a person ordered, where no rotation is under way."""
        end = _ended(self.rotation)
        if end not in (End.NOTHING, End.ROLLED_BACK):
            return end
        if self.held:
            return End.OLD_KEY_HELD
        if self.questions:
            return End.OLD_KEY_ASKS
        return End.NOTHING if self.rotation is None else End.UNDONE

    @property
    def code(self) -> Exit:
        """The exit code, old keys not counted."""
        return self.end.code

    @property
    def code_of_all(self) -> Exit:
        """The exit code, old keys included: one that needs attention is attention in every run."""
        return self.code or (End.OLD_KEY_HELD.code if self.held else Exit.DONE)

    @property
    def is_for_later(self) -> bool:
        """Whether a timer passes over it: its next call finds it again."""
        return self.code in FOR_LATER

    @property
    def held(self) -> list[Debt]:
        """Old keys that need attention."""
        return [debt for debt in self.debts if debt.open and debt.attention]

    @property
    def questions(self) -> list[Debt]:
        """Debts that wait for a person to destroy a key."""
        return [debt for debt in self.debts if debt.open and debt.asks]


def _unfinished(rotation: Rotation) -> End:
    if rotation.phase is Phase.STUCK:
        return End.STUCK
    if rotation.phase is Phase.SETTLE:
        return End.SETTLING
    return End.FAILING if needs_attention(rotation) else End.UNFINISHED


def _ended(rotation: Rotation | None) -> End:
    match rotation.outcome if rotation is not None else None:
        case Outcome.ABANDONED:
            return End.ABANDONED
        case Outcome.ROLLED_BACK:
            back = rotation is not None and rotation.back
            return End.BACK_FAILED if back else End.ROLLED_BACK
        case Outcome.REFUSED:
            return End.REFUSED
        case Outcome.VERIFIED:
            return End.VERIFIED
        case _:
            return End.NOTHING


def code_of(reports: Iterable[Report], wait: bool = False) -> Exit:
    """The exit code of a command about these playbooks.

    With `wait`, an old key that waits for a person counts, too.
    """
    return exit_codes.worst(
        report.code_of_all or (End.OLD_KEY_ASKS.code if wait and report.questions else Exit.DONE)
        for report in reports
    )


def code_of_due(reports: Iterable[Report], mistakes: bool) -> Exit:
    """The exit code of a timer's run. `mistakes`: some playbooks do not load."""
    codes = [report.code_of_all for report in reports if not report.is_for_later]
    return exit_codes.worst([*codes, *([End.MISTAKE.code] if mistakes else [])])


def steps_of(provider: object, *, destroy: bool = False) -> tuple[str, ...]:
    """What a person does in the console to make a key, or to destroy the old one."""
    if not isinstance(provider, ConsoleSteps):
        return ()
    return provider.steps_to_revoke if destroy else provider.steps_to_create


def where_keys_are_made(provider: object) -> str:
    """By a person, as a sentence goes on: the console's address where the provider names one."""
    console = console_of(provider)
    return f"at {console}" if console else "in the provider's console"
