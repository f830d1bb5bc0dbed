"""The state of a rotation and of a debt, as plain data.

Times are Unix seconds; durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from rotator.model import Evidence, Overlap, Recovery

CLOCKS_AGREE = 300.0  # seconds: a wall clock that is further off than this has jumped


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
