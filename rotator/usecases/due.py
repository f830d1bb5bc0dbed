"""What a clock would do now, everything once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from rotator.core.action import Finish
from rotator.engine import retries
from rotator.engine.pool import Work, drive_all
from rotator.errors import RotatorError
from rotator.journal import killed, pauses, unfinished
from rotator.playbook.directory import Loaded
from rotator.usecases import situation
from rotator.usecases.carry_on import carry_on
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.rotate import THREADS, groups, rotate_all
from rotator.usecases.runtime import Runtime


def due(runtime: Runtime, request: Request) -> tuple[list[Report], Loaded]:
    """Due playbooks are rotated, waits and debts that are over go on, orphans are looked for.

    The reports also tell what needs a person and was not touched.
    """
    loaded = runtime.playbooks()
    names = _names(runtime, loaded)
    reports = (
        rotate_all(runtime, sorted(names), replace(request, only_if_due=True)) if names else []
    )
    _reconcile(runtime, loaded)
    return [*reports, *_unmoved(runtime, loaded, names)], loaded


def _names(runtime: Runtime, loaded: Loaded) -> set[str]:
    """Playbooks of which something is due, but for those that a pause suspends."""
    now = runtime.clock.now()
    names = runtime.agenda.due(loaded, now)
    with runtime.journal.database.read() as connection:
        without = killed.names(connection)
        names |= {
            name
            for name in without & loaded.playbooks.keys()
            if retries.retry_at(connection, name, loaded.playbooks[name], True) <= now
        }
        present = pauses.standing(connection, now)
        for name in names - without:
            book = loaded.playbooks.get(name)
            if pauses.covering(present, name, book.shape.tags if book else ()) is None:
                continue
            if not situation.read(connection, name, book, now, present).urgent:
                names.discard(name)
    return names


def _unmoved(runtime: Runtime, loaded: Loaded, looked_at: set[str]) -> Iterator[Report]:
    """Those that no clock moves on: who reads the exit code of `--due` alone must hear of them,
    too.
    """
    now = runtime.clock.now()
    with runtime.journal.database.read() as connection:
        names = unfinished.that_need_attention(connection) | killed.names(connection)
        for name in sorted(names - looked_at):
            present = situation.read(connection, name, loaded.playbooks.get(name), now, ())
            yield Report(
                name,
                present.unfinished,
                present.case.debts,
                Finish(None),
                untouched=True,
                without=present.without,
            )


def _reconcile(runtime: Runtime, loaded: Loaded) -> None:
    """Once a day, each playbook: find what a frozen process may have made long after it was
    given up.
    """
    now = runtime.clock.now()
    with runtime.journal.database.read() as connection:
        present = pauses.standing(connection, now)
    names = [
        name
        for name in runtime.agenda.to_reconcile(loaded, now)
        if pauses.covering(present, name, loaded.playbooks[name].shape.tags) is None
    ]
    works = [_reconciling(runtime, name, loaded, now) for name in names]
    drive_all(runtime.clock, works, THREADS, groups(names, loaded))


def _reconciling(runtime: Runtime, name: str, loaded: Loaded, now: float) -> Work[None]:
    with (
        contextlib.suppress(RotatorError),
        (yield from runtime.leasing(name, loaded)) as leased,
    ):
        if leased.session.reconcile():
            yield from carry_on(runtime, leased.session, Request())
        runtime.agenda.reconciled(name, now)
