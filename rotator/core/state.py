"""The state of a rotation, as plain data.

Times are Unix seconds; durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from rotator.core.plan import Key, Plan, StorePlan

CLOCKS_AGREE = 300.0  # seconds: a wall clock that is further off than this has jumped


class Phase(StrEnum):
    """Where a rotation stands. The comment is the step that a person sees."""

    PREFLIGHT = "preflight"  # preflight
    SNAPSHOT = "snapshot"  # generate: what there is before the create
    GENERATE = "generate"  # generate
    RECOVER = "recover"  # generate: a create whose answer was lost
    DISCARD = "discard"  # generate: what that create left
    REVIVE = "revive"  # generate: going back to a deactivated key
    RECOGNISE = "recognise"  # generate: the provider shows the new key by its own id
    CHECK = "check"  # generate: the new key by itself
    READ = "read"  # store: read before (again) writing
    WRITE = "write"  # store
    RESTART = "restart"  # restart
    # Restart: while consumers take the new key up, does its provider go on accepting it?
    ACCEPT = "accept"
    CONVERGE = "converge"  # restart
    VERIFY = "verify"  # verify
    LOOK = "look"  # verify
    WAY_BACK = "way back"  # undo: is the previous key alive, right before it is written?
    RESTORE_READ = "restore read"  # undo
    RESTORE = "restore"  # undo
    UNDO_RESTART = "undo restart"  # undo
    UNDO_CONVERGE = "undo converge"  # undo
    UNDO_VERIFY = "undo verify"  # undo
    UNDO_LOOK = "undo look"  # undo
    SETTLE = "settle"  # undo: the new key is a debt that is being paid
    STUCK = "stuck"  # a person must act
    ENDED = "ended"


FORWARD_AFTER_GENERATE = frozenset(
    {
        Phase.CHECK,
        Phase.READ,
        Phase.WRITE,
        Phase.RESTART,
        Phase.ACCEPT,
        Phase.CONVERGE,
        Phase.VERIFY,
        Phase.LOOK,
    }
)
UNDOING = frozenset(
    {
        Phase.WAY_BACK,
        Phase.RESTORE_READ,
        Phase.RESTORE,
        Phase.UNDO_RESTART,
        Phase.UNDO_CONVERGE,
        Phase.UNDO_VERIFY,
        Phase.UNDO_LOOK,
        Phase.SETTLE,
    }
)
# Between the first store write and the pivot (or the end of undo) two keys are in use: nothing may
# be deactivated; nor while it is not certain which of the provider's keys is the new one.
DANGER = (FORWARD_AFTER_GENERATE | UNDOING | {Phase.RECOGNISE, Phase.STUCK}) - {Phase.SETTLE}


class Outcome(StrEnum):
    VERIFIED = "verified"
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Write:
    """What happened to one store: `expect` is the version to write over, `uncertain` that an answer
    was lost once.
    """

    expect: str = ""
    version: str = ""
    at: float = 0.0
    intended: bool = False
    touched: bool = False
    uncertain: bool = False
    replaced: str = ""  # the version that held the old key


class Cause(StrEnum):
    """Why a key must go."""

    ROTATED = "rotated"
    COMPROMISED = "compromised"
    UNDONE = "undone"
    DISCARDED = "discarded"  # a lost create, by difference: deactivated, perhaps a colleague's
    SWEPT = "swept"
    UNDECIDED = "undecided"  # a rotation was abandoned, and nobody said whose key this is: it lives


@dataclass(frozen=True, slots=True)
class Owed:
    """A debt that a rotation makes; the runner turns it into a row in the same transaction."""

    key: Key
    cause: Cause
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Rotation:
    id: str
    playbook: str
    plan: Plan
    phase: Phase = Phase.PREFLIGHT
    target: int = 0
    now: float = 0.0
    since: float = 0.0  # when this step began: deadlines count from here
    wake: float | None = None
    tries: int = 0
    passes: int = 0
    round: int = 0  # restarts of all consumers so far: each is a change of its own
    resumed: int = 0  # rounds when a person last ordered it to go on: patience begins anew
    round_at: float = 0.0
    down: str = ""  # the consumer that failed last
    accepted: int = 0  # rounds in a row in which the new key was accepted since this restart began
    accept_at: float = 0.0  # when the next such round counts: a pause after the one before
    alive_at: float = 0.0  # when the previous key was last asked on the way back, and not refused
    handle: str = ""
    attempt: int = 1
    asked_at: float = 0.0  # when the create of this attempt was intended
    # Before the create: ids in the list, or the fingerprint of what the slot held
    snapshot: tuple[str, ...] = ()
    last_create: bool = False  # what it made cannot be used, and nor could what another would make
    found: tuple[Key, ...] = ()
    # Other fingerprints than the old key's that instances showed before anything changed
    shown: tuple[str, ...] = ()
    old: Key | None = None
    new: Key | None = None
    writes: tuple[Write, ...] = ()
    compromised: bool = False
    revoke_first: bool = False  # the leaked key does not wait for this: it is a debt `at_once`
    forward_only: bool = False
    pivoted: bool = False
    back: bool = False  # ordered after a pivot: `new` is the previous key, nothing is generated
    revive: bool = False  # and it was, or may have been, deactivated
    came_from: Phase = Phase.PREFLIGHT
    question: str = ""
    problem: str = ""
    hint: str = ""
    attention: str = ""
    possible_orphan: str = ""
    outcome: Outcome | None = None
    owed: tuple[Owed, ...] = ()

    def to(self, phase: Phase, target: int = 0) -> Rotation:
        """Begin another phase (or the same for another target): its own clock, tries and handle."""
        return replace(
            self,
            phase=phase,
            target=target,
            since=self.now,
            wake=None,
            tries=0,
            passes=0,
            handle="",
            attention="",
        )

    def later(self, seconds: float, handle: str = "") -> Rotation:
        """The same again, `seconds` from now."""
        return replace(self, wake=self.now + seconds, handle=handle or self.handle)

    def end(self, outcome: Outcome) -> Rotation:
        return replace(self.to(Phase.ENDED), outcome=outcome)

    def stuck(self, question: str) -> Rotation:
        """Stop safely, both keys alive: a person must act."""
        return replace(
            self.to(Phase.STUCK), came_from=self.phase, question=question, attention=question
        )

    def with_write(self, **changes: object) -> Rotation:
        """Change what is known about the store at `target`."""
        writes = list(self.writes)
        writes[self.target] = replace(writes[self.target], **changes)  # type: ignore[arg-type]
        return replace(self, writes=tuple(writes))

    @property
    def store(self) -> StorePlan:
        return self.plan.stores[self.target]

    @property
    def consumer(self) -> str:
        """The name of the consumer at `target`; '' where there is none."""
        return next((one.name for one in self.plan.consumers[self.target :]), "")

    def consumer_after(self, target: int | None) -> int | None:
        """Whose turn to be restarted is next; None after the last one.

        The one that failed goes first: it serves nobody, and until it is back no other may be
        taken.
        """
        names = [consumer.name for consumer in self.plan.consumers]
        turns = iter(sorted(range(len(names)), key=lambda index: names[index] != self.down))
        while target is not None and next(turns, target) != target:
            pass
        return next(turns, None)

    def that_failed(self) -> Rotation:
        """The consumer at `target` is down."""
        return replace(self, down=self.consumer)

    @property
    def rounds(self) -> int:
        """Restarts of all consumers since a person last looked."""
        return self.round - self.resumed

    @property
    def restart_since(self) -> float:
        """Instances that started later need no restart: after the last write, or after a later
        round began.
        """
        written = max((write.at for write in self.writes), default=0.0)
        return max(written, self.round_at) if self.round > 1 else written

    @property
    def may_be_accepted(self) -> bool:
        """Whether a round counts now: those in a row are a pause apart."""
        return not self.accepted or self.now >= self.accept_at

    def accepted_once(self) -> Rotation:
        """With one round more."""
        return replace(
            self, accepted=self.accepted + 1, accept_at=self.now + self.plan.policy.pass_interval
        )
