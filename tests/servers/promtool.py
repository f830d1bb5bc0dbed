"""promtool, Prometheus's own judge of rules and metrics: from Debian's package, which is unpacked
and not installed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.servers.tools import Failed, cached, may_install, run, say


def install() -> Path:
    """The program: this machine's own, or from the cache. Skips where it may not be fetched."""
    if own := shutil.which("promtool"):
        return Path(own)
    with cached("promtool", "debian") as (path, fill):
        program = path / "promtool"
        if fill:
            if not may_install():
                pytest.skip("promtool is not installed: python -m tests.servers promtool install")
            say("apt-get download prometheus, for promtool")
            unpack(path / "package", program)
            run([program, "--version"])
        return program


def unpack(folder: Path, program: Path) -> None:
    """The program of this name, out of Debian's package of Prometheus."""
    folder.mkdir()
    download = ["apt-get", "download", "-q", "prometheus"]
    try:
        run(download, cwd=folder)
    except Failed:  # its lists are of another day, or there are none
        run(["apt-get", "update", "-q"])
        run(download, cwd=folder)
    (package,) = folder.glob("prometheus_*.deb")
    run(["dpkg-deb", "-x", package, folder])
    (folder / "usr" / "bin" / program.name).rename(program)
    shutil.rmtree(folder)
