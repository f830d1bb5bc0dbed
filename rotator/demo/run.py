"""The demo: a rotation under traffic, two failures undone, a crash survived.

Everything shown was looked at.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotator.demo.world import DemoWorld

_EXPECTED = ("verified", "rolled back", "rolled back", "verified")


@dataclass
class Seen:
    """What the demo saw; `ok` if the promises held."""

    requests: int = 0
    failed_requests: int = 0
    old_key_refused: bool = False
    orphan_keys: int = 0
    audit_verified: bool = False
    rotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        outcomes = tuple(rotation["outcome"] for rotation in self.rotations)
        return (
            self.failed_requests == 0
            and self.old_key_refused
            and self.orphan_keys == 0
            and self.audit_verified
            and outcomes == _EXPECTED
        )


@dataclass(frozen=True)
class Teller:
    """Who watches: gets each line for a person, and each step of a rotation as `rotate --json`
    tells it.
    """

    line: Callable[[str], None]
    step: Callable[[dict[str, Any]], None]


def run(tell: Teller) -> Seen:
    """Run it all in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="rotator-demo-") as folder:
        world = DemoWorld(Path(folder))
        try:
            return _scenes(world, tell)
        finally:
            world.close()


def keep() -> Path:
    """A world that stays when this process ends: an issuer, and a service that runs with a key of
    it. Its folder.
    """
    world = DemoWorld(Path(tempfile.mkdtemp(prefix="rotator-demo-")), stays=True)
    return world.folder


def _scenes(world: DemoWorld, tell: Teller) -> Seen:
    seen = Seen()
    tell.line(
        f"an issuer of keys at {world.issuer}, a service at {world.consumer} that reads its key"
        f" from .env, and {world.traffic.per_second} requests a second through it all the while.\n"
    )
    world.traffic.start()
    first = world.stored_key
    tell.line("1. rotate, in five steps:\n$ rotate demo --wait")
    _rotate(world, tell, seen)
    tell.line("\n2. the issuer hands out a key that does not work:\n$ rotate demo --wait")
    world.admin("PUT", "/_faults", {"refuse_new": True})
    world.write_playbook(
        step="1s"
    )  # patience with a fresh key: a second is long for an issuer on this machine
    _rotate(world, tell, seen)
    world.admin("PUT", "/_faults", {"refuse_new": False})
    world.write_playbook()
    tell.line("\n3. the service crashes when it starts with the new key:\n$ rotate demo --wait")
    (world.folder / "CRASH").write_text(world.stored_key)
    _rotate(world, tell, seen)
    (world.folder / "CRASH").unlink()
    tell.line(
        "\n4. rotator is killed in the middle (SIGKILL, right after the store was written), and run"
        " again:"
    )
    _kill_and_resume(world, tell, seen)
    _look(world, first, seen)
    world.traffic.stop()
    seen.requests, seen.failed_requests = world.traffic.requests, len(world.traffic.failures)
    _summary(world, tell, seen)
    return seen


def _rotate(world: DemoWorld, tell: Teller, seen: Seen) -> None:
    done = world.rotator("rotate", "demo", "--wait", "--json")
    try:
        found = json.loads(done.stdout)["playbooks"][0]
    except ValueError as error:
        raise RuntimeError(f"rotate said: {done.stdout[-500:]}{done.stderr[-500:]}") from error
    rotation = found["rotation"] or {}
    outcome = rotation.get("outcome") or rotation.get("phase") or found["error"]["message"]
    seen.rotations.append(
        {"outcome": outcome, "steps": found["steps"], "seconds": found["seconds"]}
    )
    for step in found["steps"]:
        tell.step(step)
    problem = f": {rotation['problem']}" if rotation.get("problem") else ""
    tell.line(f"  → {outcome}{problem}")


def _kill_and_resume(world: DemoWorld, tell: Teller, seen: Seen) -> None:
    before = world.stored_key
    process = world.start_rotate()
    end = time.monotonic() + 20
    while world.stored_key == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    process.wait()
    tell.line("$ rotate demo --wait\n  Killed")
    tell.line("$ rotate demo --wait")
    _rotate(world, tell, seen)


def _look(world: DemoWorld, first: str, seen: Seen) -> None:
    """What is so at the end: at the issuer, in the store, in the process, in the audit."""
    from rotator.demo.consumer import ask

    seen.old_key_refused = ask(world.issuer, first) == 401
    live = world.live_keys
    seen.orphan_keys = sum(key["value"] != world.stored_key for key in live)
    seen.audit_verified = world.rotator("audit", "verify").returncode == 0


def _summary(world: DemoWorld, tell: Teller, seen: Seen) -> None:
    tell.line("")
    tell.line(f"requests        {seen.requests}, {seen.failed_requests} failed")
    if world.traffic.failures:
        tell.line(f"                the first: {world.traffic.failures[0]}")
    tell.line(
        "the old key    "
        f" {'is refused by the issuer' if seen.old_key_refused else 'IS STILL ACCEPTED'}"
    )
    tell.line(
        f"keys            1 live, held by .env and by the running process; {seen.orphan_keys}"
        " orphans"
        if not seen.orphan_keys
        else f"keys            {seen.orphan_keys} ORPHANS"
    )
    tell.line(
        "the audit log   is whole: every record follows the one before, checkpoints signed"
        if seen.audit_verified
        else "the audit log   IS NOT WHOLE"
    )
