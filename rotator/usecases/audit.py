"""What a person orders of the audit log: its public key, and a new beginning after one that is
broken.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotator.audit import checkpoint, verify
from rotator.errors import RefusedError
from rotator.usecases.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Restarted:
    """The checkpoint with which the new log begins, and what was found of the one before."""

    checkpoint: int
    time: str  # RFC 3339
    mistakes: tuple[str, ...]


def public_key(runtime: Runtime) -> str:
    """By which checkpoints are verified. The first call makes the pair."""
    with runtime.journal.database.write() as connection:
        return checkpoint.public_key(connection, runtime.journal)


def restart(runtime: Runtime, reason: str) -> Restarted:
    """Begin the log anew after one that is broken. Raises RefusedError where it is whole."""
    with runtime.journal.database.write() as connection:
        mistakes = verify.verify_journal(connection, runtime.journal).mistakes
        if not mistakes:
            raise RefusedError(
                "the audit log is whole: there is nothing to begin anew", "`rotator audit verify`"
            )
        begun = checkpoint.restart(
            connection, runtime.journal, runtime.clock.now(), runtime.actor, reason, mistakes
        )
        runtime.listeners.once_committed(runtime.journal.database, [begun])
    runtime.listeners.hand_out()
    runtime.export()
    return Restarted(begun["checkpoint"], begun["time"], tuple(mistakes))
