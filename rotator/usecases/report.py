"""How it stands with one playbook after a command, and the exit code that says so."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core import incident
from rotator.core.action import Action
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase, Rotation
from rotator.engine.staying import needs_attention
from rotator.errors import BusyError, ConfigError, LeaseLost, RefusedError, RotatorError
from rotator.plugin import console_of


@dataclass(frozen=True)
class Report:
    """How it stands with one playbook after a command."""

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
    followed: bool = False  # another process holds the lease and carries it on
    # The key in force was ordered to die, and consumers have no other one
    without: Key | None = None

    @property
    def code(self) -> int:
        """The exit code of this one."""
        rotation = self.rotation
        if self.error is not None:
            return exit_code(self.error)
        if self.without is not None:
            return 4
        if self.kills:
            return self._after_kills
        if rotation is not None and (
            rotation.phase is Phase.STUCK or rotation.outcome is Outcome.ABANDONED
        ):
            return 4
        if rotation is not None and rotation.phase is not Phase.ENDED:
            return 4 if rotation.phase is Phase.SETTLE or needs_attention(rotation) else 5
        outcome = rotation.outcome if rotation else None
        undone = outcome is Outcome.ROLLED_BACK and rotation is not None and not rotation.back
        if self.ordered and (rotation is None or undone):
            return 4 if self.held else 5 if self.questions else 0
        return {Outcome.ROLLED_BACK: 3, Outcome.REFUSED: 6}.get(outcome, 0) if outcome else 0

    @property
    def _after_kills(self) -> int:
        """Of an order to kill: 0 only where each of these keys is dead and consumers have, or get,
        another one.
        """
        ends, rotation = [incident.ending(debt) for debt in self.kills], self.rotation
        leaked = rotation is not None and rotation.compromised
        without = (
            leaked and rotation is not None and rotation.outcome not in (None, Outcome.VERIFIED)
        )
        stuck = rotation is not None and rotation.phase is Phase.STUCK
        if incident.Ending.RETRIED in ends or without or stuck:
            return 4
        unfinished = (
            leaked and rotation is not None and rotation.outcome is None and not self.followed
        )
        return 5 if unfinished or incident.Ending.ASKED in ends or None in ends else 0

    @property
    def code_of_all(self) -> int:
        """The exit code, old keys included: one that needs attention is attention in every run."""
        return self.code or (4 if self.held else 0)

    @property
    def held(self) -> list[Debt]:
        return [debt for debt in self.debts if debt.open and debt.attention]

    @property
    def questions(self) -> list[Debt]:
        """Debts that wait for a person to destroy a key."""
        return [debt for debt in self.debts if debt.open and debt.asks]


def exit_code(error: RotatorError) -> int:
    if isinstance(error, BusyError | LeaseLost):
        return 75
    if isinstance(error, ConfigError):
        return 2
    return 6 if isinstance(error, RefusedError) else 1


def where_keys_are_made(provider: object) -> str:
    """By a person, as a sentence goes on: the console's address where the provider names one."""
    console = console_of(provider)
    return f"at {console}" if console else "in the provider's console"
