"""Put on PYTHONPATH of the installed `rotate`: SIGKILL at the n-th journal boundary (before or after a transaction),

or once an act is done, before anybody was told.
"""

import contextlib
import itertools
import os
import signal

if "KILL_AT_BOUNDARY" in os.environ:
    from rotator.journal.database import Database

    _boundaries = itertools.count(1)
    _fatal = int(os.environ["KILL_AT_BOUNDARY"])
    _write = Database.write

    def _boundary() -> None:
        number = next(_boundaries)
        if path := os.environ.get("COUNT_BOUNDARIES"):
            with open(path, "w") as file:
                file.write(str(number))
        if number == _fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def write(self):  # type: ignore[no-untyped-def]
        _boundary()
        with _write(self) as connection:
            yield connection
        _boundary()

    Database.write = write

if "KILL_AFTER" in os.environ:
    from rotator.engine.perform import Performer

    _perform = Performer.perform

    def perform(self, call):  # type: ignore[no-untyped-def]
        performed = _perform(self, call)
        if call.op == os.environ["KILL_AFTER"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return performed

    Performer.perform = perform
