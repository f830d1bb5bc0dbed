"""PostgreSQL: a server of this run's own, on a Unix socket in a temporary folder,
without network unless a port is asked for.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.tools import HOST, free_port


def install() -> Path:
    """initdb of this machine. Skips where there is none (CI installs it before the tests)."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or next(iter(debian), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("CI skips nothing: PostgreSQL is missing")
    if found is None:
        pytest.skip("PostgreSQL's initdb is not on this machine (Debian: apt install postgresql)")
    return Path(found)


class Postgres:
    """A server of this run's own; `url` is the address of its database `postgres`. With a port it
    listens there, on this machine.
    """

    def __init__(self, port: int = 0) -> None:
        self._initdb = install()
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="rotator-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user)
        self.port = port
        at = f"{HOST}:{port}/postgres" if port else f"/postgres?host={self.folder}"
        self.url = f"postgresql://rotator@{at}"
        self._run(str(self._initdb), "-D", self._data, "-A", "trust", "-U", "rotator")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, *argv: str) -> None:
        prefix = ["runuser", "-u", self._user, "--"] if os.geteuid() == 0 else []
        subprocess.run([*prefix, *argv], check=True, capture_output=True, cwd=self.folder)

    def _control(self, *argv: str) -> None:
        self._run(str(self._initdb.with_name("pg_ctl")), "-D", self._data, *argv)

    def start(self) -> None:
        listens = f"-h {HOST} -p {self.port}" if self.port else "-h ''"
        log, place = str(self.folder / "log"), f"-k {self.folder} {listens}"
        self._control("-w", "-l", log, "-o", place, "start")

    def freeze(self, frozen: bool = True) -> None:
        """The server and all that it started, as a hypervisor stops a machine; or let it go on."""
        postmaster = int((Path(self._data) / "postmaster.pid").read_text().split()[0])
        number = signal.SIGSTOP if frozen else signal.SIGCONT
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, mode: str = "immediate") -> None:
        """`immediate`: as a crash ends it."""
        self._control("-m", mode, "stop")


@contextlib.contextmanager
def server(port: int = 0) -> Iterator[Postgres]:
    """Started; whoever stops it starts it again."""
    found = Postgres(port)
    found.start()
    try:
        yield found
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # a test that failed left it so
            found.stop()
        shutil.rmtree(found.folder, ignore_errors=True)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Started; its address, of the database `postgres`."""
    with server() as found:
        yield found.url


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, str]]:
    """Started; the port of this machine at which it listens, and its address."""
    with server(free_port()) as found:
        yield found.port, found.url
