"""The installed command and the daemon tell people: signed, at least once whatever is killed when, and
nothing that is secret.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator

import pytest

from rotator.demo.world import _installed
from tests.acceptance.conftest import AcceptanceWorld
from tests.receiver import SECRET, Receiver, receiving, until

_NOTIFY = """
notify:
  - uses: webhook
    url: {env: HOOK_URL}
    secret: {env: HOOK_SECRET}
    when: [done]
"""


@pytest.fixture
def receiver(world: AcceptanceWorld) -> Iterator[Receiver]:
    """Who is told of the demo's playbook from here on."""
    with receiving() as found:
        world.environment |= {"HOOK_URL": found.url, "HOOK_SECRET": SECRET}
        playbook = world.folder / "playbooks" / "demo.yaml"
        playbook.write_text(playbook.read_text() + _NOTIFY)
        assert world.rotator("rotate", "--due").returncode == 0
        found.received.clear()
        yield found


def _started(world: AcceptanceWorld, *arguments: str) -> subprocess.Popen[bytes]:
    log = (world.folder / "command.log").open("ab")
    command = [*_installed(arguments[0]), *arguments[arguments[0] == "rotate" :]]
    return subprocess.Popen(
        command, env=world.environment, cwd=world.folder, stdout=log, stderr=log
    )


def _a_minute_later(world: AcceptanceWorld) -> None:
    """What a process that was killed held is free by then."""
    with sqlite3.connect(world.folder / "state" / "journal.db") as journal:
        journal.execute("UPDATE notices SET next = next - 61")


def test_what_a_killed_command_was_sending_is_sent_by_the_next_with_the_same_id(
    world: AcceptanceWorld, receiver: Receiver
) -> None:
    receiver.answers = [-1]
    command = _started(world, "rotate", "demo")
    until(lambda: receiver.received)
    command.send_signal(signal.SIGKILL)
    command.wait()
    _a_minute_later(world)
    assert world.rotator("rotate", "--due").returncode == 0
    first, second = receiver.received
    assert first.id == second.id and first.verified and second.verified
    assert world.rotator("rotate", "--due").returncode == 0
    assert len(receiver.received) == 2
    world.promises_hold()


def test_a_daemon_tells_what_it_and_others_did_and_no_secret_leaves(
    world: AcceptanceWorld, receiver: Receiver
) -> None:
    old = world.stored_key
    daemon = _started(world, "daemon", "--listen", "off")
    try:
        assert world.rotator("rotate", "demo").returncode == 0
        until(lambda: len(receiver.received) == 1)
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=60) == 0
    said = (world.folder / "command.log").read_text()
    for secret in (old, world.stored_key, SECRET, receiver.url, "T0ken-in-the-address"):
        assert secret not in said
        assert all(secret.encode() not in one.body for one in receiver.received)


def test_a_test_says_what_happened(world: AcceptanceWorld, receiver: Receiver) -> None:
    done = world.rotator("notify", "--test")
    assert done.returncode == 0 and "✓ demo/1: sent" in done.stdout
    (one,) = receiver.received
    assert one.verified and one.kind == "test"
    receiver.answers = [403]
    done = world.rotator("notify", "--test", "demo", "--json")
    assert done.returncode == 1 and "T0ken" not in done.stdout + done.stderr
    assert "answered 403" in json.loads(done.stdout)["channels"][0]["text"]
    done = world.rotator("notify")
    assert done.returncode == 0 and "all sent" in done.stdout
    receiver.answers = [500]
    assert world.rotator("rotate", "demo").returncode == 0
    done = world.rotator("status")
    assert "people are not told by demo/1: 1 notice waits since" in done.stderr
    assert "answered 500" in done.stderr and "T0ken" not in done.stderr
    done = world.rotator("notify", "--json")
    (row,) = json.loads(done.stdout)["channels"]
    assert done.returncode == 1 and (row["waiting"], row["given_up"]) == (1, 0)
    done = world.rotator("notify", "--test", "dmo")
    assert done.returncode == 2 and "did you mean 'demo" in done.stderr
    world.environment["HOOK_SECRET"] = "whsec_short"
    done = world.rotator("doctor")
    assert done.returncode == 1 and "nobody would be told" in done.stdout
    done = world.rotator("plan", "demo")
    assert done.returncode == 0 and "nobody would be told by demo/1" in done.stdout
