"""What goes wrong before the pivot is undone: the old key in force, the new one dead, nobody
noticed.
"""

from __future__ import annotations

import json

from tests.acceptance.conftest import AcceptanceWorld


def test_a_key_that_the_provider_refuses_never_reaches_a_store(world: AcceptanceWorld) -> None:
    """Found by itself, before anything was written."""
    old = world.stored_key
    world.admin("PUT", "/_faults", {"refuse_new": True})
    done = world.rotator("rotate", "demo")
    assert done.returncode == 3 and "rolled back" in done.stderr
    assert world.stored_key == old
    world.promises_hold()


def test_a_consumer_that_crashes_with_the_new_key_goes_on_with_the_old_one(
    world: AcceptanceWorld,
) -> None:
    """The store holds the previous key again, the process that serves never stopped, the new key is
    dead.
    """
    old, pid = world.stored_key, world.consumer_pid
    (world.folder / "CRASH").write_text(old)
    done = world.rotator("rotate", "demo", "--json")
    (found,) = json.loads(done.stdout)["playbooks"]
    assert done.returncode == 3 and found["rotation"]["outcome"] == "rolled back"
    assert (world.stored_key, world.consumer_pid) == (old, pid)
    world.promises_hold()


def test_a_leaked_key_is_replaced_and_dies_at_once(world: AcceptanceWorld) -> None:
    """--compromised sets grace aside, whatever the playbook says."""
    playbook = world.folder / "playbooks" / "demo.yaml"
    playbook.write_text(
        playbook.read_text().replace("grace: 0s, quiet: 0s", "grace: 24h, quiet: 1h")
    )
    old = world.stored_key
    done = world.rotator("rotate", "demo", "--compromised", "--reason", "seen in a log")
    assert done.returncode == 0, done.stderr
    assert old not in [key["value"] for key in world.live_keys]
    world.promises_hold()
    assert "seen in a log" in world.rotator("audit", "tail", "-n", "100").stdout


def test_revoke_first_kills_the_leaked_key_before_anything_else(world: AcceptanceWorld) -> None:
    """The order of a person: the audit shows the revocation before the first store write."""
    old = world.stored_key
    done = world.rotator("rotate", "demo", "--compromised", "--revoke-first")
    assert done.returncode == 0, done.stderr
    records = [
        json.loads(line) for line in world.rotator("audit", "tail", "-n", "100").stdout.splitlines()
    ]
    effects = [record["op"] for record in records if record["event"] == "intent"]
    assert effects.index("revoke") < effects.index("write")
    assert [key["value"] for key in world.live_keys] == [world.stored_key] != [old]


def test_gitops_that_puts_the_old_key_back_stops_the_revocation(world: AcceptanceWorld) -> None:
    """Somebody restores the old value in grace: the old key lives, status says who holds it; put
    right, it dies.
    """
    playbook = world.folder / "playbooks" / "demo.yaml"
    playbook.write_text(playbook.read_text().replace("grace: 0s", "grace: 24h"))
    env, old = world.folder / ".env", world.stored_key
    before = env.read_text()
    assert world.rotator("rotate", "demo").returncode == 0
    after = env.read_text()
    env.write_text(before)

    stopped = world.rotator("revoke", "demo")

    assert stopped.returncode == 4 and "dotenv" in stopped.stderr, stopped.stderr
    assert len(world.live_keys) == 2 and world.stored_key == old
    assert "needs attention" in world.rotator("status").stdout
    env.write_text(after)
    assert world.rotator("resume", "demo", "--wait").returncode == 0
    world.promises_hold()
    assert old not in [key["value"] for key in world.live_keys]
