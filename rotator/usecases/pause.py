"""The clock suspends playbooks until a given time."""

from __future__ import annotations

from rotator.audit.record import rfc3339
from rotator.errors import RefusedError
from rotator.journal import pauses
from rotator.journal.pauses import Pause
from rotator.usecases.runtime import Runtime


def begin(runtime: Runtime, scope: str, until: float, reason: str) -> Pause:
    """The clock begins and continues nothing that `scope` covers until then (Unix seconds).

    Raises RefusedError for a time that is past, ConfigError for a playbook that nobody knows.
    """
    now = runtime.clock.now()
    if until <= now:
        raise RefusedError("a pause ends in the future", "say for instance --until 3d")
    if scope.startswith("playbook "):
        runtime.known(scope.removeprefix("playbook "))
    paused = Pause(scope, until, reason, runtime.actor.text, now)
    with runtime.journal.database.write() as connection:
        pauses.begin(connection, paused)
        runtime.note(connection, "paused", scope=scope, until=rfc3339(until), reason=reason)
    runtime.listeners.hand_out()
    return paused


def end(runtime: Runtime, scope: str, reason: str) -> bool:
    """Whether there was one."""
    with runtime.journal.database.write() as connection:
        if not pauses.end(connection, scope):
            return False
        runtime.note(connection, "pause ended", scope=scope, reason=reason)
    runtime.listeners.hand_out()
    return True
