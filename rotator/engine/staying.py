"""How long a command stays: which waits it sits out, and when it leaves what is still open to the
next run.

A rotation under way is carried on through short waits; each of its steps has a deadline. What is
left of it, old keys, has none: a command that waited for those would hold up every other playbook
for as long as one provider is down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotator.core import debt as debt_machine
from rotator.core import incident
from rotator.core.action import WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.machine import next_action
from rotator.core.patience import ENDLESS
from rotator.core.state import Phase, Rotation

# Seconds: waits up to this long are sat out; and so long are old keys followed, all together
SHORT = 60.0
_DAY = 86_400.0
_OVER = (Phase.ENDED, Phase.SETTLE)
_STANDS = (DebtPhase.WATCH, DebtPhase.HELD)  # waits of these move nothing
_NEVER = float("inf")


@dataclass
class Stay:
    """One command's patience with one playbook. `wait`: a person wants to see the old keys die."""

    wait: bool
    _until: float | None = None
    # Whether a wait was sat out already, so that this command has tried itself
    _tried: bool = False

    def is_over(self, rotation: Rotation | None, debts: Sequence[Debt], now: float) -> bool:
        """Whether the command leaves now, with something still waiting."""
        dying = [debt for debt in debts if debt.at_once and incident.ending(debt) is None]
        if dying:  # a person wants to know how it ends
            return min(_moves(debt, now) for debt in dying) - now > SHORT
        if rotation is not None and rotation.phase not in _OVER:
            return self._leaves(rotation, debts, now)
        if self._until is None:
            self._until = now + SHORT
        still = [debt for debt in debts if debt.open]
        moves = min((_moves(debt, now) for debt in still if not debt.attention), default=_NEVER)
        stays = self.wait and not any(debt.attention for debt in still)
        return moves - now > _DAY if stays else moves - now > SHORT or moves > self._until

    def _leaves(self, rotation: Rotation, debts: Sequence[Debt], now: float) -> bool:
        moves, blocking = _wake_of(rotation), _in_its_place(rotation, debts)
        if blocking:
            moves = max(moves, min(_moves(debt, now) for debt in blocking))
        attention = (needs_attention(rotation) and self._tried) or any(
            debt.attention for debt in blocking
        )
        self._tried = True
        return attention or moves - now > (_DAY if self.wait else SHORT)


def needs_attention(rotation: Rotation) -> bool:
    """Whether a step that no deadline ends has failed for longer than a step may take."""
    late = rotation.now - rotation.since >= rotation.plan.policy.deadline
    return rotation.phase in ENDLESS and rotation.tries > 0 and late


def _wake_of(rotation: Rotation) -> float:
    action = next_action(rotation)
    return action.at if isinstance(action, WaitUntil) else _NEVER


def _in_its_place(rotation: Rotation, debts: Sequence[Debt]) -> list[Debt]:
    """Old keys for whose end a rotation without room waits: it asks again every minute, they live
    on for longer.
    """
    failing = rotation.tries and rotation.now - rotation.since < rotation.plan.policy.deadline
    if rotation.phase is not Phase.PREFLIGHT or rotation.wake is None or failing:
        return []
    return [debt for debt in debts if debt.open and debt.phase not in DEAD_PHASES]


def _moves(debt: Debt, now: float) -> float:
    """When an old key comes nearer to its end.

    A soak asks its probes every half minute, but is over only later.
    """
    action = debt_machine.next_action(debt)
    if debt.phase in _STANDS or not isinstance(action, WaitUntil):
        return _NEVER
    if debt.phase is DebtPhase.SOAK:
        return max(action.at, debt.since + debt.plan.policy.soak)
    if debt.phase is DebtPhase.SUSPECT:
        return max(action.at, debt.born + debt.plan.policy.soak)
    return action.at
