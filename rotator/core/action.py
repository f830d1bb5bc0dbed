"""What the saga asks for, and what it is told back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rotator.core.plan import Key
from rotator.core.state import Outcome


class Op(StrEnum):
    """One effect or one question to the world.

    The runner performs it; each may be repeated but GENERATE.
    """

    PREFLIGHT = "preflight"
    SNAPSHOT = "snapshot"
    GENERATE = "generate"
    RECOVER = "recover"
    REVOKE = "revoke"
    DEACTIVATE = "deactivate"
    REACTIVATE = "reactivate"
    RECOGNISE = "recognise"
    PROBE = "probe"  # a key by itself, at its provider
    READ = "read"
    WRITE = "write"
    RESTART = "restart"
    ACCEPT = "accept"  # the new key by itself, at its provider, while consumers take it up
    PROGRESS = "progress"
    VERIFY = "verify"
    LOOK = "look"
    QUIET = "quiet"
    WATCH = "watch"
    SUSPECT = "suspect"
    PROVE = "prove"
    RETIRE = "retire"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Call:
    """Perform `op` on the target-th store or consumer, with `key`."""

    op: Op
    step: str
    target: int = 0
    key: Key | None = None
    expect: str = ""
    attempt: int = 0
    handle: str = ""
    round: int = 0


@dataclass(frozen=True, slots=True)
class WaitUntil:
    at: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Only a person can go on: `kind` is supply, confirm or resume."""

    kind: str
    question: str


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome | None


Action = Call | WaitUntil | Ask | Finish


@dataclass(frozen=True, slots=True)
class Done:
    at: float
    data: object = None


@dataclass(frozen=True, slots=True)
class Later:
    """Not there yet: ask again in `retry_in` seconds, with the handle."""

    at: float
    retry_in: float
    handle: str = ""
    text: str = ""


class Kind(StrEnum):
    """Why something failed, as far as the saga decides by it."""

    OTHER = "other"
    DENIED = "denied"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Failed:
    at: float
    message: str
    hint: str = ""
    permanent: bool = True
    kind: Kind = Kind.OTHER
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Crashed or timed out: it may have happened.

    `unreadable`: it did, and asking again would end the same.
    """

    at: float
    message: str = "interrupted"
    hint: str = ""
    unreadable: bool = False


Result = Done | Later | Failed | Unknown


@dataclass(frozen=True, slots=True)
class Ready:
    """What preflight learned. `versions` has the present version of each store; `superseded` are
    keys of ours that are neither in the stores nor owed yet; `wait` says why the rotation cannot
    begin now (a debt fills the quota); `listed` are the ids of all keys that the provider lists,
    where it lists them by label; `shown` are fingerprints, others than the old key's, that
    instances show.
    """

    old: Key | None
    old_dead: bool = False
    versions: tuple[str, ...] = ()
    superseded: tuple[Key, ...] = ()
    wait: str = ""
    listed: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found: keys that the lost create left, or the new key, read again from its slot
    or a store; `beside` it are keys that appeared as well and that nobody can account for.
    """

    found: tuple[Key, ...] = ()
    reread: Key | None = None
    beside: tuple[Key, ...] = ()
    ambiguous: str = ""


@dataclass(frozen=True, slots=True)
class Recognised:
    """Whether the provider shows the new key.

    Without `problem` and not `shown`: not yet, a list may lag behind.
    """

    shown: bool = False
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What a store holds now.

    `fingerprint` is empty where it holds nothing, None where it cannot tell.
    """

    fingerprint: str | None
    version: str


@dataclass(frozen=True, slots=True)
class Written:
    version: str


@dataclass(frozen=True, slots=True)
class Swept:
    keys: tuple[Key, ...] = ()
