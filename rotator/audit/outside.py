"""The log goes outside after each checkpoint: to a command of the user's, which puts it where
rotator cannot change it.

At least once and in order: what it took is remembered, what it did not take goes with the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from rotator import environment
from rotator.audit import checkpoint
from rotator.audit.record import canonical
from rotator.clients import programs
from rotator.errors import RotatorError
from rotator.journal import tables
from rotator.journal.journal import Journal
from rotator.journal.settings import put_setting, setting
from rotator.secret import Secret

_TAKEN = "audit_exported"  # the number of the last checkpoint that the command took
_TIMEOUT = 60.0
_one_at_a_time = threading.Lock()


def behind(connection: Connection) -> int:
    """How many checkpoints were not taken yet."""
    n = tables.checkpoints.c.n
    return connection.execute(select(func.count()).where(n > _taken(connection))).scalar() or 0


def export(journal: Journal, command: str) -> str:
    """Hand over each checkpoint with the records that it covers; why the command did not take them
    all, or ''.
    """
    with _one_at_a_time:
        with journal.database.read() as connection:
            waiting = list(_waiting(connection))
        for number, lines in waiting:
            if wrong := _handed(command, number, lines):
                return wrong
            with journal.database.write() as connection:
                put_setting(connection, _TAKEN, str(max(number, _taken(connection))))
    return ""


def _taken(connection: Connection) -> int:
    return int(setting(connection, _TAKEN) or 0)


def _waiting(connection: Connection) -> Iterator[tuple[int, str]]:
    """Each checkpoint that was not taken: its number, and its lines."""
    taken, audit = _taken(connection), tables.audit.c
    since = 0
    for line in checkpoint.load(connection):
        number, upto = int(line["checkpoint"]), int(line.get("upto") or since)
        if number > taken:
            rows = connection.execute(
                select(audit.record).where((audit.n > since) & (audit.n <= upto)).order_by(audit.n)
            )
            yield (
                number,
                "".join(f"{text}\n" for text in [*(row[0] for row in rows), canonical(line)]),
            )
        since = upto


def _handed(command: str, number: int, lines: str) -> str:
    try:
        ended = programs.run(
            ["sh", "-c", command],
            stdin=Secret(lines),
            env={"ROTATOR_CHECKPOINT": f"{number:08}"},
            own=environment.of_sdks(),
            timeout=_TIMEOUT,
        )
    except RotatorError as error:
        return error.message
    return (
        ""
        if ended.code == 0
        else f"the command of audit_export ended with {ended.code}: {ended.words}"
    )
