"""Put on PYTHONPATH of the installed `rotate`: SIGKILL at the n-th journal boundary (before or after a transaction)."""

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

if "KILL_AFTER_CREATE" in os.environ:
    from rotator.providers.aws_iam import AwsIamProvider

    _generate = AwsIamProvider.generate

    def generate(self, label, like):  # type: ignore[no-untyped-def]
        _generate(self, label, like)
        os.kill(os.getpid(), signal.SIGKILL)

    AwsIamProvider.generate = generate
