"""What a clock would do now, everything once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection

from rotator.core.action import Finish
from rotator.engine import retries
from rotator.engine.pool import Work, drive_all
from rotator.errors import RotatorError
from rotator.journal import killed, leases, pauses, standing, ticks, unfinished
from rotator.playbook.directory import Loaded
from rotator.usecases import situation
from rotator.usecases.carry_on import carry_on
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.rotate import THREADS, groups, rotate_all
from rotator.usecases.runtime import Runtime

TICK_TOLD = 60.0  # seconds between two times that it is written down


def due(runtime: Runtime, request: Request) -> tuple[list[Report], Loaded]:
    """Due playbooks are rotated, waits and debts that are over go on, orphans are looked for.

    The reports also tell what needs a person and was not touched.
    """
    loaded = runtime.playbooks()
    ticked(runtime)
    with contextlib.suppress(RotatorError):  # no rotation fails for it
        runtime.outbox.begin()
    runtime.heard.event.set()  # what is overdue, and what could not be sent before
    names = names_due(runtime, loaded)
    reports = (
        rotate_all(runtime, sorted(names), replace(request, only_if_due=True)) if names else []
    )
    _reconcile(runtime, loaded)
    return [*reports, *_unmoved(runtime, loaded, names)], loaded


def names_due(runtime: Runtime, loaded: Loaded, exactly: bool = False) -> set[str]:
    """Playbooks of which something is due now, but for those that a pause suspends; and those for
    which an order waits that nobody took up. None that is another node's.

    `exactly`: none before its moment. Raises JournalError.
    """
    now = runtime.clock.now()
    names = runtime.agenda.due(loaded, now, exactly)
    with runtime.journal.database.read() as connection:
        without = killed.names(connection)
        names |= {
            name
            for name in without & loaded.playbooks.keys()
            if retries.retry_at(connection, name, loaded.playbooks[name], now, True) <= now
        }
        present = pauses.standing(connection, now)
        for name in names - without:
            book = loaded.playbooks.get(name)
            if pauses.covering(present, name, book.shape.tags if book else ()) is None:
                continue
            if not situation.read(connection, name, book, now, present).urgent:
                names.discard(name)
        names |= {
            name
            for name in standing.playbooks(connection) & loaded.playbooks.keys()
            if not _is_worked_on(connection, name)
        }
    return runtime.here_alone(names, loaded)


def _is_worked_on(connection: Connection, name: str) -> bool:
    """Whether a process holds its lease, and so takes up orders itself."""
    holding = leases.holding(connection, name)
    return holding is not None and not holding.expired


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
    names = to_reconcile(runtime, loaded)
    works = [reconciling(runtime, name, loaded) for name in names]
    drive_all(runtime.clock, works, THREADS, groups(names, loaded))


def to_reconcile(runtime: Runtime, loaded: Loaded) -> list[str]:
    """Playbooks that are looked through now for keys that nobody owns: each once a day."""
    now = runtime.clock.now()
    with runtime.journal.database.read() as connection:
        present = pauses.standing(connection, now)
    return [
        name
        for name in runtime.agenda.to_reconcile(loaded, now)
        if pauses.covering(present, name, loaded.playbooks[name].shape.tags) is None
    ]


def reconciling(runtime: Runtime, name: str, loaded: Loaded) -> Work[None]:
    """Find what a frozen process may have made long after it was given up."""
    now = runtime.clock.now()
    with (
        contextlib.suppress(RotatorError),
        (yield from runtime.leasing(name, loaded)) as leased,
    ):
        if leased.session.reconcile():
            yield from carry_on(runtime, leased.session, Request())
        runtime.agenda.reconciled(name, now)


def ticked(runtime: Runtime) -> None:
    """Write down that somebody looks what is due: once a minute, so that `doctor` can tell."""
    actor, now = runtime.actor, runtime.clock.now()
    tick = ticks.Tick(runtime.way, f"{actor.who}@{actor.where}", now)
    with runtime.journal.database.read() as connection:
        known = ticks.load(connection)
    mine = [one.at for one in known if (one.way, one.who) == (tick.way, tick.who)]
    if not mine or abs(now - mine[0]) >= TICK_TOLD:
        with runtime.journal.database.write() as connection:
            ticks.save(connection, tick)
