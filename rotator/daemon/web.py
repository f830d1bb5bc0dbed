"""What it answers by HTTP: is it alive, is it ready, metrics, status; and the order to read again.

It tells and changes nothing else. Who may reach it is decided by where it listens.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from rotator.daemon.listening import Place
from rotator.daemon.log import Log
from rotator.daemon.loop import LONGEST, Loop
from rotator.errors import RotatorError
from rotator.secret import redact

_PATIENCE = 5.0  # seconds in which a request must be in
_TURNS = 2 * LONGEST  # seconds without a turn of the loop after which it does not live
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def application(
    loop: Loop, place: Place, status: Callable[[], dict[str, Any]], metrics: Callable[[], str]
) -> Starlette:
    """`status` and `metrics` are asked at each request, in a thread of their own."""

    async def livez(request: Request) -> Response:
        """Nobody else is asked: what a database or a provider lacks is cured by no restart. Nor is
        a thread needed: all of them may wait for the database.
        """
        since = time.monotonic() - loop.turned
        alive = since < _TURNS or loop.runtime.stopping.is_set()
        return PlainTextResponse(
            "ok\n" if alive else f"the loop stands still since {since:.0f} s\n",
            200 if alive else 500,
        )

    def readyz(request: Request) -> Response:
        missing = _missing(loop)
        return PlainTextResponse(
            "\n".join([*missing, ""]) if missing else "ok\n", 503 if missing else 200
        )

    def told(request: Request) -> Response:
        return Response(redact(json.dumps(status())), media_type="application/json")

    def measured(request: Request) -> Response:
        return PlainTextResponse(metrics(), media_type="text/plain; version=0.0.4")

    async def reload(request: Request) -> Response:
        found = await run_in_threadpool(loop.reload)
        wrong = [f"{one.place}: {one.text}" for one in found.mistakes]
        wrong += [found.of_settings] if found.of_settings else []
        body = {
            "playbooks": len(found.loaded.playbooks),
            "mistakes": [redact(one) for one in wrong],
            "from_the_next_start": list(found.restart),
        }
        return JSONResponse(body, 400 if wrong else 200)

    # A page of somebody else's, open in a browser here, must not read it by a name of its own.
    guards = (
        [Middleware(TrustedHostMiddleware, allowed_hosts=_LOCAL)]
        if place.host and place.local
        else []
    )
    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", measured),
            Route("/api/v1/status", told),
            Route("/-/reload", reload, methods=["POST"]),
        ],
        middleware=guards,
        exception_handlers={RotatorError: _in_words},  # type: ignore[dict-item]
    )


def _in_words(request: Request, error: RotatorError) -> Response:
    body = {"error": redact(error.message), "hint": redact(error.hint)}
    return JSONResponse(body, 503)


def _missing(loop: Loop) -> list[str]:
    """What keeps it from rotating, none of it a provider's matter."""
    missing = []
    try:
        journal = loop.runtime.journal
        with journal.database.read():
            pass
        if journal.sealer is None:
            missing.append(journal.no_key.message)
    except RotatorError as error:
        missing.append(redact(error.message))
    if loop.tick_error and not missing:
        missing.append(redact(loop.tick_error))  # it can be read, and not be written
    if loop.ticked is None and not missing:
        missing.append("it has not looked yet what is due")
    if loop.runtime.stopping.is_set():
        missing.append("it stops")
    return missing


class _Told(logging.Handler):
    """What uvicorn says, in the daemon's own log: its mistakes, and at debug those of others."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "debug"
        why = record.exc_info[1] if record.exc_info else None
        error = {"error": f"{type(why).__name__}: {why}"} if why is not None else {}
        self._log.say(level, record.getMessage(), **error)


class _Connection(H11Protocol):
    """Whoever connects and does not ask makes room for others; uvicorn itself waits for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._silent = self.loop.call_later(_PATIENCE, transport.close)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._silent.cancel()  # it has asked
        elif self._silent.cancelled():
            self._silent = self.loop.call_later(_PATIENCE, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent.cancel()
        super().connection_lost(exc)


class Server:
    """uvicorn, in a thread of its own: signals are the loop's. `closed` is called at its end."""

    def __init__(
        self,
        app: Starlette,
        listener: socket.socket,
        log: Log,
        closed: Callable[[], object] = lambda: None,
    ) -> None:
        said = logging.getLogger("uvicorn.error")
        said.handlers, said.propagate = [_Told(log)], False
        config = uvicorn.Config(
            app,
            http=_Connection,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=5,
            limit_concurrency=256,
        )
        self._server, self._listener, self._closed = uvicorn.Server(config), listener, closed
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        self._server.should_exit = True
        self._closed()  # first: whoever comes now finds nobody, as soon as it is so
        self._thread.join(2.0)
        self._listener.close()
