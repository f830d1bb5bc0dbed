"""Prometheus itself: from Debian's package, which is unpacked and not installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import promtool
from tests.servers.tools import cached, may_install, run, say


def install() -> Path:
    """The program: this machine's own, or from the cache. Skips where it may not be fetched."""
    if own := shutil.which("prometheus"):
        return Path(own)
    with cached("prometheus", "debian") as (path, fill):
        program = path / "prometheus"
        if fill:
            if not may_install():
                pytest.skip("prometheus is not installed: CI=true, or apt install prometheus")
            say("apt-get download prometheus")
            promtool.unpack(path / "package", program)
            run([program, "--version"])
        return program


@contextmanager
def running(program: Path, folder: Path, target: str) -> Iterator[str]:
    """Its address, once it is ready; it scrapes `target` (HOST:PORT) each second."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    log = folder / "prometheus.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=out,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while not _ready(address):
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
