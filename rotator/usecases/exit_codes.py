"""What the process ends with: the one table of outcomes and exit codes.

The table of codes in docs/exit-codes.md is made from `Exit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum

from rotator.engine.stopping import Stopping
from rotator.errors import BusyError, ConfigError, LeaseLost, RefusedError, RotatorError

SIGNALS = 128  # by the convention of shells, a code above it is 128 and the number of a signal


class Exit(IntEnum):
    """The codes. `label` names one in a few words; `means` and `way_on` are its row in the docs."""

    label: str
    means: str
    way_on: str

    def __new__(cls, code: int, label: str, means: str, way_on: str) -> Exit:
        member = int.__new__(cls, code)
        member._value_ = code
        member.label, member.means, member.way_on = label, means, way_on
        return member

    DONE = (
        0,
        "done",
        "done; or nothing due; or verified with old keys waiting out their grace",
        "nothing",
    )
    ERROR = (
        1,
        "internal error or something found",
        "an internal error, or `check`, `keys`, `doctor`, `audit verify`, `db check` found"
        " something",
        "read the `error:` lines",
    )
    CONFIGURATION = (
        2,
        "configuration",
        "configuration: a playbook, a setting, an argument; no playbook found, or a directory of"
        " playbooks that cannot be read",
        "the message has file, line and column, or the directories that were looked at",
    )
    ROLLED_BACK = (
        3,
        "rolled back",
        "rolled back: the old key is in force, the new one is destroyed",
        "`rotator show NAME` has each attempt (an ordered `rotator undo` that worked is 0)",
    )
    ATTENTION = (
        4,
        "needs attention",
        "needs attention: safe, both keys alive, a person must act",
        "the message names who holds what; then `rotator resume NAME`",
    )
    WAITING = (
        5,
        "waiting for a person",
        "waiting for a person: a key to supply or to destroy, or a wait longer than a minute",
        "`rotator supply NAME`, `rotator confirm NAME`",
    )
    REFUSED = (
        6,
        "refused before any change",
        "refused before anything was changed",
        "what the `hint:` says",
    )
    BUSY = (
        75,
        "busy",
        "busy: somebody else is rotating it (`EX_TEMPFAIL`: ask again later)",
        "`rotator show NAME`",
    )
    INTERRUPTED = (
        130,
        "interrupted",
        "interrupted (Ctrl-C): what was begun is in the journal",
        "`rotate --due` goes on with it",
    )
    TERMINATED = (
        143,
        "told to stop",
        "told to stop (SIGTERM): the call in hand has ended and is written down, nothing was begun"
        " after it",
        "`rotate --due` goes on with it",
    )
    PIPE_CLOSED = (
        141,
        "pipe closed",
        "done, but who read standard output through a pipe has gone",
        "nothing",
    )


class End(StrEnum):
    """How a command ended, or the work on one playbook."""

    # --- the work on one playbook ---
    NOTHING = "nothing was begun, or old keys alone went on"
    VERIFIED = "the new key is verified"
    ROLLED_BACK = "rolled back to the old key"
    UNDONE = "undone, as a person ordered"
    BACK_FAILED = "not back to the previous key, as a person ordered: the present one stays"
    REFUSED = "refused before anything was changed"
    ABANDONED = "over without a verified key in force"
    GIVEN_UP = "over without a verified key in force, as a person ordered"
    STUCK = "stopped until a person looks"
    SETTLING = "undone but for the new key, which still lives"
    FAILING = "a step that no deadline ends fails for longer than a step may take"
    UNFINISHED = "waits for longer than the command stays, or for a person"
    WITHOUT_KEY = "the key in force was ordered to die, and consumers have no other one"
    KILLED = "each key that was ordered to die is dead, and consumers get another one"
    KILL_FAILED = "a key that was ordered to die lives on, or no other key is brought out"
    KILL_UNFINISHED = "a key that was ordered to die is not dead yet, or not replaced yet"
    OLD_KEY_HELD = "an old key needs attention"
    OLD_KEY_ASKS = "an old key waits for a person to destroy it"
    # --- errors ---
    BUSY = "another process works on it, or took it over"
    MISTAKE = "a playbook, a setting or an argument is wrong"
    FAILED = "any other error"
    # --- a command ---
    SAID = "looked, and nothing is wrong"
    FOUND = "looked, and found something wrong"
    WOULD_REFUSE = "a rotation would be refused now"
    NEEDS_PERSON = "looked, and something stands until a person acts"
    INTERNAL = "a mistake in rotator"
    OUTPUT_LOST = "done, but standard output could not be written"
    PIPE_CLOSED = "done, but the reader of standard output has gone"
    INTERRUPTED = "interrupted by a person"
    TERMINATED = "told to stop by a signal"

    @property
    def code(self) -> Exit:
        return CODES[self]


CODES = {
    End.NOTHING: Exit.DONE,
    End.VERIFIED: Exit.DONE,
    End.ROLLED_BACK: Exit.ROLLED_BACK,
    End.UNDONE: Exit.DONE,
    End.BACK_FAILED: Exit.ROLLED_BACK,
    End.REFUSED: Exit.REFUSED,
    End.ABANDONED: Exit.ATTENTION,
    End.GIVEN_UP: Exit.DONE,
    End.STUCK: Exit.ATTENTION,
    End.SETTLING: Exit.ATTENTION,
    End.FAILING: Exit.ATTENTION,
    End.UNFINISHED: Exit.WAITING,
    End.WITHOUT_KEY: Exit.ATTENTION,
    End.KILLED: Exit.DONE,
    End.KILL_FAILED: Exit.ATTENTION,
    End.KILL_UNFINISHED: Exit.WAITING,
    End.OLD_KEY_HELD: Exit.ATTENTION,
    End.OLD_KEY_ASKS: Exit.WAITING,
    End.BUSY: Exit.BUSY,
    End.MISTAKE: Exit.CONFIGURATION,
    End.FAILED: Exit.ERROR,
    End.SAID: Exit.DONE,
    End.FOUND: Exit.ERROR,
    End.WOULD_REFUSE: Exit.REFUSED,
    End.NEEDS_PERSON: Exit.ATTENTION,
    End.INTERNAL: Exit.ERROR,
    End.OUTPUT_LOST: Exit.ERROR,
    End.PIPE_CLOSED: Exit.PIPE_CLOSED,
    End.INTERRUPTED: Exit.INTERRUPTED,
    End.TERMINATED: Exit.TERMINATED,
}
# Of several, the first that occurs.
SEVERITY = (
    Exit.ATTENTION,
    Exit.ROLLED_BACK,
    Exit.ERROR,
    Exit.REFUSED,
    Exit.CONFIGURATION,
    Exit.TERMINATED,
    Exit.WAITING,
    Exit.BUSY,
)
# To a timer these are nothing: its next call finds them again.
FOR_LATER = frozenset({Exit.WAITING, Exit.BUSY, Exit.TERMINATED})


def of_error(error: RotatorError) -> End:
    """How a command ended that raised this."""
    if isinstance(error, BusyError | LeaseLost):
        return End.BUSY
    if isinstance(error, ConfigError):
        return End.MISTAKE
    if isinstance(error, Stopping):
        return End.TERMINATED
    return End.REFUSED if isinstance(error, RefusedError) else End.FAILED


def worst(codes: Iterable[int]) -> Exit:
    """The most severe of several exit codes."""
    present = set(codes)
    return next((code for code in SEVERITY if code in present), Exit.DONE)
