"""People are told while the daemon runs: in a thread of its own, which no rotation waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rotator.daemon.log import Log
from rotator.errors import RotatorError
from rotator.notices.outbox import Sent
from rotator.playbook.directory import Loaded
from rotator.usecases.runtime import Runtime

LONGEST = 60.0  # seconds between two looks at most: other processes leave something to be told
_TOGETHER = 1.0  # seconds in which what is committed is told together
_AT_ONCE = 30.0  # seconds of sending, then it looks again
_AGAIN = 5.0  # seconds until the next look where the journal cannot be had


class Telling:
    """`start`, and `stop`: what was not sent by then is for the next process."""

    def __init__(self, runtime: Runtime, books: Callable[[], Loaded], log: Log) -> None:
        self._runtime, self._log = runtime, log
        self._stopped = False
        self._wrong = ""  # what was told last of why nobody is
        runtime.tells_at_end, runtime.books, runtime.told = False, books, self._tried
        if runtime.heard not in runtime.listeners:
            runtime.listeners.add(runtime.heard)
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nothing more is begun; it is not waited for."""
        self._stopped = True
        self._runtime.heard.event.set()

    def _run(self) -> None:
        heard = self._runtime.heard.event
        while not self._stopped:
            heard.clear()
            wait = self._told()
            if not self._stopped and heard.wait(wait):
                threading.Event().wait(_TOGETHER)

    def _told(self) -> float:
        """Look, and send; in how many seconds to do so again."""
        try:
            outbox, clock = self._runtime.outbox, self._runtime.clock
            self._runtime.journal.database.must_be_known()  # a newer rotator may tell of more
            outbox.look()
            outbox.send(_AT_ONCE)
            at = outbox.earliest()
        except Exception as error:  # whatever it is, it ends no thread that people rely on
            self._say_wrong(error)
            return _AGAIN
        self._wrong = ""
        return LONGEST if at is None else min(max(at - clock.now(), 1.0), LONGEST)

    def _say_wrong(self, error: Exception) -> None:
        words, hint = f"internal: {type(error).__name__}: {error}", "please report it"
        if isinstance(error, RotatorError):
            words, hint = error.message, error.hint
        if words != self._wrong:
            self._log.error("nobody is told of anything", error=words, hint=hint)
        self._wrong = words

    def _tried(self, sent: Sent) -> None:
        told = {"channel": sent.channel, "playbook": sent.playbook, "kind": sent.kind}
        if sent.given_up:
            self._log.error("notices given up", **told, number=sent.given_up, error=sent.error)
        elif sent.wait is not None:
            then = f"tried again in {sent.wait:.0f} s"
            self._log.warning(
                "a notice was not sent", **told, error=sent.error, hint=sent.hint, then=then
            )
        else:
            self._log.info("a notice was sent", **told)
