"""The daemon as a whole: the loop, what it answers, its signals, its end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from rotator import deadline, installed
from rotator.daemon.listening import Place, file_of, listening, remove
from rotator.daemon.log import EventLog, Log
from rotator.daemon.loop import Loop
from rotator.daemon.reloads import Reloads
from rotator.daemon.supervisor import Supervisor
from rotator.daemon.telling import Telling
from rotator.engine.stopping import over_in
from rotator.errors import ConfigError
from rotator.journal.failures import JournalAway
from rotator.secret import redact
from rotator.usecases.exit_codes import SIGNALS
from rotator.usecases.runtime import Runtime

_LONGEST = 24.0  # seconds from the signal to the end of the process
_EXPORT = 2.0  # seconds in which the audit log may still be handed on at the end


def serve(runtime: Runtime, place: Place | None, status: Callable[[], dict[str, Any]]) -> int:
    """Until SIGTERM or SIGINT; the exit code.

    A database that is away is waited for. Raises ConfigError, JournalError, before it begins.
    """
    supervisor = Supervisor()
    log = Log(runtime.settings.log_level or "info", runtime.settings.log_format)
    with contextlib.suppress(JournalAway):  # the loop tells it, and asks again
        runtime.journal  # noqa: B018  (one that is another's, or newer, is no journal to wait for)
    loop = Loop(
        runtime, Reloads(runtime.settings, runtime.directory, runtime.clock.now), log, supervisor
    )
    runtime.listeners.add(EventLog(log))
    telling = Telling(runtime, lambda: loop.reloads.last.loaded, log)
    telling.start()
    server = None
    if place is not None:
        server = _server(loop, place, status)
        server.start()
        log.info(f"listening at {place}")
    # Whatever hangs then, a call into a kernel that does not come back, a journal that others have
    # locked: leases end by themselves, and intents are in the journal.
    with _Signals(loop), over_in(_LONGEST, runtime.stopping, lambda: os._exit(0)):
        loop.run()
        telling.stop()
        if server is not None:
            server.stop()
        if not runtime.exported(_EXPORT):
            deadline.cut()
        runtime.close()
    log.info("stopped")
    return 0


def _server(loop: Loop, place: Place, status: Callable[[], dict[str, Any]]) -> Any:
    try:
        from rotator.daemon.metrics import Metrics
        from rotator.daemon.web import Server, application
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"to listen at {place} needs {error.name}",
            f"{installed.way_to('daemon')}; or --listen off",
        ) from error
    metrics = Metrics(loop)
    loop.runtime.listeners.add(metrics.counts)
    found = application(loop, place, status, lambda: redact(metrics.text()))
    listener = listening(place)
    return Server(found, listener, loop.log, partial(remove, place, file_of(place)))


class _Signals:
    """SIGTERM and SIGINT stop it in order, a second one at once; SIGHUP has it read all again."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._stops = loop, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        handlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: self._read,
        }
        self._before = {number: signal.signal(number, act) for number, act in handlers.items()}

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self._stops:
            os._exit(SIGNALS + number)  # whoever insists: what is in hand is for the next one
        self._stops = True
        self._loop.stop()

    def _read(self, number: int, _: FrameType | None) -> None:
        self._loop.read_again()
