"""Canary keys through success and every failure, at debug level: their text is in the stores and
nowhere else.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import urllib.parse
from pathlib import Path

from tests.acceptance.conftest import AcceptanceWorld


class ProcessWatch:
    """Every command line that any process had while this ran."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(path.read_bytes())
            time.sleep(0.02)

    def stop(self) -> bytes:
        self._stop.set()
        self._thread.join()
        return b"\n".join(self.seen)


def _forms(value: str) -> set[bytes]:
    return {
        value.encode(),
        urllib.parse.quote(value).encode(),
        base64.b64encode(value.encode()),
        value.removeprefix("sk-svcacct-").encode(),
    }


def test_no_key_is_seen_anywhere_but_in_its_stores(world: AcceptanceWorld) -> None:
    """stdout, stderr, logs, journal with its WAL, audit, tracebacks, command lines, temporary
    files.
    """
    world.environment |= {
        "ROTATOR_LOG_LEVEL": "debug",
        "ROTATOR_AUDIT_STREAM": f"stdout,{world.folder}/audit.jsonl",
    }
    watch, said = ProcessWatch(), []

    def run(*arguments: str) -> None:
        done = world.rotator(*arguments)
        said.append((done.stdout + done.stderr).encode())

    world.admin("PUT", "/_faults", {"echo": True})
    run("rotate", "demo", "--wait")
    world.admin("PUT", "/_faults", {"refuse_new": True})
    run("rotate", "demo", "--wait", "--json")
    world.admin("PUT", "/_faults", {"refuse_new": False, "lose_create": 1})
    run("rotate", "demo", "--wait")
    (world.folder / "CRASH").write_text(world.stored_key)
    run("rotate", "demo")
    (world.folder / "CRASH").unlink()
    (world.folder / ".env").chmod(0o400)
    run("rotate", "demo", "--dry-run")
    admin_key = world.environment["DEMO_ADMIN_KEY"]
    world.environment["DEMO_ADMIN_KEY"] = "sk-admin-wrong-and-echoed-by-the-issuer"
    run("rotate", "demo")
    world.environment["DEMO_ADMIN_KEY"] = admin_key
    (world.folder / "state" / "locks" / "demo.lock").unlink()
    (
        world.folder / "state" / "locks" / "demo.lock"
    ).mkdir()  # an unforeseen error, with a traceback
    run("rotate", "demo")
    (world.folder / "state" / "locks" / "demo.lock").rmdir()
    run("show", "demo")
    run("audit", "export")
    run("status", "--json")
    run("doctor")
    canaries = {
        *world.admin("GET", "/_state")["ever"],
        admin_key,
        "sk-admin-wrong-and-echoed-by-the-issuer",
    }
    places = {"said": b"\n".join(said), "command lines": watch.stop()}
    stores = {world.folder / ".env", world.folder / "CRASH"}
    for path in world.folder.rglob("*"):
        if path.is_file() and path not in stores:
            places[str(path)] = path.read_bytes()

    assert len(canaries) >= 6 and "journal.db" in " ".join(places)
    leaks = [
        (place, value[:14])
        for value in canaries
        for form in _forms(value)
        for place, content in places.items()
        if form in content
    ]
    assert not leaks, leaks
    assert b"Traceback" in places["said"], "the traceback was looked at, too"
    assert (
        json.loads((world.folder / "audit.jsonl").read_text().splitlines()[0])["event"] == "began"
    )
