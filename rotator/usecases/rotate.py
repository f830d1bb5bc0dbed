"""Rotate playbooks, or carry their unfinished rotations on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from rotator.audit.record import rfc3339
from rotator.core.action import Finish
from rotator.engine.pool import Work, drive, drive_all
from rotator.engine.staying import SHORT
from rotator.errors import ConfigError, RefusedError, RotatorError
from rotator.journal import grouped
from rotator.journal.grouped import GroupHeld
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import neighbour
from rotator.usecases.carry_on import carry_on
from rotator.usecases.leaked import leaked
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.runtime import DAEMON, Leased, Runtime
from rotator.usecases.situation import Situation, expected

THREADS = 16
_AGAIN = 0.5  # seconds between two looks whether another one of its group has ended


def rotate(runtime: Runtime, name: str, request: Request) -> Report:
    """Rotate one playbook, or carry its unfinished rotation on.

    Errors become part of the report.
    """
    return drive(runtime.clock, rotating(runtime, name, request, runtime.playbooks()))


def rotate_all(runtime: Runtime, names: Sequence[str], request: Request) -> list[Report]:
    """Side by side on a bounded pool of threads; reports in the order of names."""
    runtime.keeper  # noqa: B018  (opened once, before the threads)
    # Once: looking at a thousand files for each of a thousand names takes a while.
    loaded = runtime.playbooks()
    to_do = set(names)

    def working(name: str) -> Work[Report]:
        try:
            return (yield from rotating(runtime, name, request, loaded, to_do))
        finally:
            to_do.discard(name)

    works = [working(name) for name in names]
    return drive_all(runtime.clock, works, THREADS, groups(names, loaded))


def expect(runtime: Runtime, names: Sequence[str], compromised: bool = False) -> None:
    """Raises ConfigError for a name that was mistyped, before anything is begun for the others.

    One whose playbook is broken is such, too, unless a key leaked: that delays no other.
    """
    loaded = runtime.playbooks()
    for name in names:
        present = runtime.situation(name, loaded)
        if compromised and (present.row is not None or loaded.mistakes_of(name)):
            continue
        try:
            expected(present, loaded)
        except ConfigError as error:
            raise ConfigError(
                f"{error.message}{': nothing was begun' if len(names) > 1 else ''}", error.hint
            ) from error


def groups(names: Sequence[str], loaded: Loaded) -> list[str]:
    """On whom the work on each playbook depends: its provider, '' where it is gone."""
    books = [loaded.playbooks.get(name) for name in names]
    return [neighbour(book.provider_name, book.provider) if book else "" for book in books]


def rotating(
    runtime: Runtime, name: str, request: Request, loaded: Loaded, to_do: Collection[str] = ()
) -> Work[Report]:
    """The work on one playbook, its errors a part of the report.

    `to_do`: what the same order still works on, which one of their group waits for.
    """
    begun = runtime.clock.now()
    try:
        runtime.must_go_on()
        if request.compromised and not request.only_if_due:
            report = yield from leaked(runtime, name, request, loaded)
        else:
            report = yield from _in_order(runtime, name, request, loaded, to_do)
    except RotatorError as error:
        return Report(name, None, (), Finish(None), error, runtime.clock.now() - begun)
    return replace(report, seconds=runtime.clock.now() - begun)


def _in_order(
    runtime: Runtime, name: str, request: Request, loaded: Loaded, to_do: Collection[str]
) -> Work[Report]:
    """A rotation without an incident."""
    before = runtime.situation(name, loaded)
    playbook = expected(before, loaded)
    if not request.only_if_due:
        _refuse_paused(before)
        if playbook is not None and before.unfinished is None:
            away = runtime.keeps_from_beginning(playbook, by_timer=False)
            if away is not None:
                raise away.refusal(name, runtime.fleet.node)
    while True:
        try:
            with (yield from runtime.leasing(name, loaded)) as leased:
                return (yield from _under_lease(runtime, leased, playbook, request))
        except GroupHeld as held:
            # One that a dead process left half way is not held yet: it is carried on beside this.
            if not runtime.keeper.holds(held.holder) and held.holder not in to_do:
                raise
            yield from _its_turn_comes(runtime, held)
            if runtime.way == DAEMON:  # it comes back, with the playbook as it is by then
                raise
        runtime.must_go_on()


def _its_turn_comes(runtime: Runtime, held: GroupHeld) -> Work[None]:
    """In this very process. It returns every now and then, too: something may be due of its old
    keys.
    """
    end = runtime.clock.now() + SHORT
    while runtime.clock.now() < end and not runtime.stopping.is_set():
        yield runtime.clock.now() + _AGAIN
        with runtime.journal.database.read() as connection:
            other = grouped.holder(connection, held.group, held.playbook)
        if not runtime.keeper.holds(other):
            return


def _refuse_paused(before: Situation) -> None:
    if (pause := before.pause) is not None:
        raise RefusedError(
            f"{before.name} is paused until {rfc3339(pause.until)[:16]}Z by {pause.who}:"
            f" {pause.reason}",
            f"`rotator resume {pause.typed}` ends the pause; "
            f"a leaked key is not held up: `rotate {before.name} --compromised`",
        )


def _under_lease(
    runtime: Runtime, leased: Leased, playbook: Playbook | None, request: Request
) -> Work[Report]:
    session, present = leased.session, leased.situation
    if session.case.unfinished is not None:
        return (yield from carry_on(runtime, session, request))
    if playbook is None and not request.only_if_due:
        raise runtime.gone(session.playbook)
    now, by_timer = runtime.clock.now(), request.only_if_due
    without = present.without is not None
    waits = present.pause is not None or (by_timer and not present.is_due(now))
    away = runtime.keeps_from_beginning(playbook, by_timer) if playbook is not None else None
    if playbook is None or away is not None or (waits and not without):
        report = yield from carry_on(runtime, session, request)
        # The last rotation is no work of this command.
        return replace(report, rotation=None, untouched=True)
    counts_from = playbook.belongs_to(present.counts_from, now) if by_timer else None
    runtime.must_go_on()
    if not by_timer:
        runtime.fleet.decide(playbook, now)
    try:
        session.begin(
            playbook, request.reason, leaked=without, first=without, counts_from=counts_from
        )
    except GroupHeld:
        if by_timer:  # its old keys wait for nobody
            yield from carry_on(runtime, session, replace(request, wait=False))
        raise
    return (yield from carry_on(runtime, session, request))
