"""Who may look into rotator's memory: a core dump would hold every key that it had, and its whole
environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rotator.demo.world import _installed

_PATTERN = Path("/proc/sys/kernel/core_pattern")
_TO_A_FILE = _PATTERN.exists() and not _PATTERN.read_text().startswith(("|", "/"))


@pytest.mark.skipif(not _TO_A_FILE, reason="core dumps go elsewhere here")
def test_a_crash_leaves_no_core_dump(home: Path) -> None:
    """It is killed while it waits for the provider, so that it has the administrator's key in its
    hands.
    """
    asked, listening = threading.Event(), socket.create_server(("127.0.0.1", 0))

    def silent() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            connection.recv(1000)
            asked.set()
            connection.recv(1000)

    threading.Thread(target=silent, daemon=True).start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    (home / "playbooks" / "one.yaml").write_text(
        f"generate: {{uses: openai, project: p, base_url: '{url}', admin_key: {{env:"
        f" THE_ADMIN_KEY}}}}\nstore: {{uses: file, path: {home}/key, create: true}}\n"
    )
    environment = {
        **os.environ,
        "THE_ADMIN_KEY": "sk-admin-canary",
        "ROTATOR_PLAYBOOKS": str(home / "playbooks"),
    }
    command = f"ulimit -c unlimited && exec {' '.join(_installed('rotate'))} one"
    environment["ROTATOR_HOME"] = str(home / "state")
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=home, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        assert asked.wait(60)
        process.send_signal(signal.SIGSEGV)
        assert process.wait(60) == -signal.SIGSEGV
    finally:
        process.kill()
        listening.close()
    assert not list(home.glob("core*"))


def test_a_program_that_it_starts_dumps_as_it_did(home: Path) -> None:
    """That is the application's own business, and so is who may trace it."""
    code = (
        "import ctypes, subprocess, sys; from rotator.cli.entry import hide_memory; hide_memory();"
        "ask = 'import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))';"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True);"
        "subprocess.run([sys.executable, '-c', ask])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1"], done
