"""The state of a debt: an old key that is still to be revoked.

Times are Unix seconds; durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from rotator.core.plan import Key, Plan
from rotator.core.state import Cause


class DebtPhase(StrEnum):
    GRACE = "grace"
    QUIET = "quiet"
    LOOK = "look"
    BASELINE = "baseline"  # do the probes pass before anything is deactivated?
    DEACTIVATE = "deactivate"
    SOAK = "soak"
    SUSPECT = "suspect"  # soak of a key found by difference: did anybody use or reactivate it?
    LAST_LOOK = "last look"
    REVOKE = "revoke"
    PROVE = "prove"
    RETIRE = "retire"
    SWEEP = "sweep"
    WATCH = "watch"
    REACTIVATE = "reactivate"
    HELD = "held"  # stopped: looked at again by itself, or waiting for a person
    PAID = "paid"
    VOID = "void"  # the key is current again: no debt


PROOFS = 3  # refusals in a row that prove a key's death
CLOSED = frozenset({DebtPhase.PAID, DebtPhase.VOID})
# A paid debt's probes go on being watched; the key is dead, so nothing else of the playbook needs
# to wait for it.
DEAD_PHASES = frozenset({DebtPhase.PROVE, DebtPhase.RETIRE, DebtPhase.SWEEP, DebtPhase.WATCH})


class Proof(StrEnum):
    """By what a key is known to be dead."""

    NONE = ""  # by somebody's word: the provider's answer to the revocation, or a person's
    REFUSED = "refused"  # it was refused, several times
    UNLISTED = "not listed"  # its value is not known; the provider's list does not show it any more


@dataclass(frozen=True, slots=True)
class Debt:
    """An old key that is still to be revoked, with its date and conditions."""

    id: str
    playbook: str
    rotation: str
    key: Key
    cause: Cause
    plan: Plan
    phase: DebtPhase = DebtPhase.GRACE
    target: int = 0
    now: float = 0.0
    since: float = 0.0
    born: float = 0.0
    wake: float | None = None
    tries: int = 0
    passes: int = 0  # refusals in a row of a key that is to be dead
    asked_at: float = 0.0  # when it was last asked whether that key is refused
    swept: bool = False  # retired and swept already, between two of those questions
    probes_pass: bool = False
    deactivated: bool = False
    deactivate_intended: bool = False
    revoke_intended: bool = False
    versions: tuple[str, ...] = ()  # of each store, that held the key
    stored: bool = True  # False: no store ever had it, so no consumer can
    # The boot it was born in, and that boot's clock then: shows when the wall clock jumps
    boot: str = ""
    boot_at: float = 0.0
    # Ordered by a person: it dies whoever holds it, and no rotation holds it up
    at_once: bool = False
    by_hand: bool = False  # its provider cannot destroy it: a person does
    person: bool = False  # HELD until a person says resume
    attention: str = ""
    proof: Proof = Proof.NONE

    @property
    def open(self) -> bool:
        return self.phase not in CLOSED

    @property
    def proven(self) -> bool:
        """Whether its death is proven, as far as anything can: a key that is revoked may still be
        asked for.
        """
        return bool(self.proof) or self.passes >= PROOFS

    @property
    def death(self) -> str:
        """How it is told of the key that it is no more: dead only where that was seen."""
        said = (
            "said to be destroyed; nothing can prove it"
            if self.plan.supplied or self.by_hand
            else "revoked"
        )
        return "dead" if self.proof else said

    @property
    def urgent(self) -> bool:
        """No grace, quiet or soak."""
        return self.cause is not Cause.ROTATED

    @property
    def asks(self) -> bool:
        """Whether it waits for a person to destroy the key."""
        return self.phase is DebtPhase.REVOKE and (self.plan.supplied or self.by_hand)

    def to(self, phase: DebtPhase, target: int = 0) -> Debt:
        return replace(self, phase=phase, target=target, since=self.now, wake=None, tries=0)

    def later(self, seconds: float) -> Debt:
        return replace(self, wake=self.now + seconds)

    def held(self, attention: str, *, person: bool = False) -> Debt:
        """Stop and name why; looked at again by itself unless a person is needed."""
        stopped = replace(self.to(DebtPhase.HELD), attention=attention, person=person)
        return stopped if person else stopped.later(self.plan.policy.look_again)
