"""Which key, and what a playbook said when its rotation began.

Times are Unix seconds; durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rotator.model import Evidence, Overlap, Recovery


@dataclass(frozen=True, slots=True)
class Key:
    """Which key, without its value: the id at the provider (may be empty) and a keyed fingerprint
    of the value.
    """

    id: str = ""
    fingerprint: str = ""
    hint: str = ""

    def same(self, other: Key | None) -> bool:
        """Whether both name one key; by fingerprint where both have one, else by id."""
        if other is None:
            return False
        if self.fingerprint and other.fingerprint:
            return self.fingerprint == other.fingerprint
        return bool(self.id) and self.id == other.id

    def __str__(self) -> str:
        hint = self.hint if len(self.hint) > 1 else ""
        return (
            self.id
            or hint
            or (f"key {self.fingerprint[:8]}" if self.fingerprint else "unknown key")
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a rotation is; all in seconds, but the counts."""

    deadline: float = 600.0
    grace: float = 86_400.0
    quiet: float = 3_600.0
    quiet_deadline: float = 604_800.0
    soak: float = 600.0
    watch: float = 3_600.0
    list_lag: float = 30.0
    propagation: float = 0.0  # until a new key is known at every edge of the provider
    revocation: float | None = None  # until an old one is refused at each of them; None: as long
    creates: int = 3
    passes: int = 3
    pass_interval: float = 1.0
    rounds: int = 3
    refusals: int = 3  # in a row, until a key that worked counts as dead
    look_again: float = 3_600.0
    first_retry: float = 1.0
    longest_retry: float = 60.0

    def backoff(self, tries: int) -> float:
        """The pause after the `tries`-th failure in a row."""
        return float(min(self.longest_retry, self.first_retry * 2 ** min(max(tries - 1, 0), 20)))

    def spacing(self, over: float, times: int, tries: int) -> float:
        """The pause between two of `times` equal answers within `over`; each other answer in
        between doubles it.
        """
        spread = over / max(times - 1, 1)
        if not tries:
            return spread
        return max(
            spread, min(max(spread, self.pass_interval) * 2.0 ** min(tries, 20), self.longest_retry)
        )

    def pause(self, tries: int, asked: float | None) -> float:
        """The pause that the other side asks for, at most a step's deadline; else the back-off."""
        return self.backoff(tries) if asked is None else max(0.0, min(asked, self.deadline))


@dataclass(frozen=True, slots=True)
class StorePlan:
    name: str
    follows: bool = False
    write_only: bool = False


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    name: str
    evidence: Evidence = Evidence.STARTED


@dataclass(frozen=True, slots=True)
class Plan:
    """What the playbook said when the rotation began, as far as the saga must know."""

    stores: tuple[StorePlan, ...] = ()
    consumers: tuple[ConsumerPlan, ...] = ()
    overlap: Overlap = Overlap.MANY
    recovery: Recovery = Recovery.LABEL
    can_deactivate: bool = False
    can_list: bool = True
    supplied: bool = False
    quota: int = 0  # how many keys there can be, 0 where nobody knows
    # Does the provider tell when a key was last used? None: a journal from before
    tells_use: bool | None = None
    policy: Policy = field(default_factory=Policy)
