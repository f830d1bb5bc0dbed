"""Put on PYTHONPATH of the installed `rotate`: SIGKILL right before or after one transaction of the
journal.

A place is called by what was performed last, in the words of the core's phases (an old key's: "debt
revoke" and its kin): "before write" is once a store is written and nobody was told, the journal
included; "after write" once that is journaled, and with it what comes next. KILL_AT names one (the
first of its name), or says the how many-th of all; each that is passed is a line in PLACES.
"""

import contextlib
import itertools
import os
import signal
import threading

if "KILL_AT" in os.environ:
    from rotator.core.debt_state import Debt
    from rotator.engine.perform import Performer
    from rotator.journal.database import Database

    if os.environ["KILL_AT"] != "never":
        with contextlib.suppress(ImportError):
            from coverage import Coverage

            if (measuring := Coverage.current()) is not None:
                measuring.stop()  # who is killed never writes down which lines it met
    _numbers = itertools.count(1)
    _fatal = os.environ["KILL_AT"]
    _here = threading.local()
    _write, _perform = Database.write, Performer.perform

    def _pass(moment):  # type: ignore[no-untyped-def]
        place = f"{moment} {getattr(_here, 'phase', 'start')}"
        with open(os.environ["PLACES"], "a") as file:
            file.write(f"{place}\n")
        if _fatal in (place, str(next(_numbers))):
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def write(self):  # type: ignore[no-untyped-def]
        _pass("before")
        with _write(self) as connection:
            yield connection
        _pass("after")

    def perform(self, call):  # type: ignore[no-untyped-def]
        performed = _perform(self, call)
        _here.phase = f"{'debt ' * isinstance(self.unit, Debt)}{self.unit.phase}"
        return performed

    Database.write, Performer.perform = write, perform
