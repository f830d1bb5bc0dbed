"""PostgreSQL: a server of this run's own, on a Unix socket in a temporary folder,
without network.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def install() -> Path:
    """initdb of this machine. Skips where there is none (CI installs it before the tests)."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or next(iter(debian), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("CI skips nothing: PostgreSQL is missing")
    if found is None:
        pytest.skip("PostgreSQL's initdb is not on this machine (Debian: apt install postgresql)")
    return Path(found)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Started; its address, of the database `postgres`."""
    initdb = install()
    folder = Path(tempfile.mkdtemp(prefix="rotator-pg-"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user)

    def run(*argv: str) -> None:
        prefix = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
        subprocess.run([*prefix, *argv], check=True, capture_output=True, cwd=folder)

    control = str(initdb.with_name("pg_ctl"))
    run(str(initdb), "-D", str(folder / "data"), "-A", "trust", "-U", "rotator")
    run(
        control,
        "-D",
        str(folder / "data"),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-k {folder} -h ''",
        "start",
    )
    try:
        yield f"postgresql://rotator@/postgres?host={folder}"
    finally:
        run(control, "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
