"""Killed anywhere, run again: one live key, held by the store and by the consumer, and no failed
request.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import budget
from tests.acceptance import kills
from tests.acceptance.conftest import AcceptanceWorld

BOUNDARY_STEP = int(os.environ.get("ROTATOR_KILL_EVERY", "12"))  # 1 = every boundary
RANDOM_KILLS = int(os.environ.get("ROTATOR_KILLS", "3"))


class Watched(AcceptanceWorld):
    """Nothing is left active in the journal once a rotation was carried on, and that
    began at once.
    """

    slowest = 0.0
    begun = datetime.now(UTC)

    def run(self, **environment: str) -> tuple[int, str]:
        self.begun = datetime.now(UTC)
        return super().run(**environment)

    def promises_hold(self) -> None:
        super().promises_hold()
        with sqlite3.connect(self.folder / "state" / "journal.db") as journal:
            assert not journal.execute("SELECT count(*) FROM rotations WHERE active").fetchone()[
                0
            ], "one is stuck"
            assert not journal.execute("SELECT count(*) FROM debts WHERE open").fetchone()[0], (
                "an old key is left"
            )
            records = [
                json.loads(row[0])["time"] for row in journal.execute("SELECT record FROM audit")
            ]
        since = [(datetime.fromisoformat(text) - self.begun).total_seconds() for text in records]
        self.slowest = max(self.slowest, min(seconds for seconds in since if seconds > 0))
        assert self.slowest < 10, "the next run waited for the dead holder's lease (20 s) to end"

    def killed_after(self, seconds: float) -> None:
        process = self.start_rotate()
        time.sleep(seconds)
        process.kill()
        process.wait()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path, step="5s") as found:
        yield found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_at_any_journal_boundary_is_survived(
    watched: Watched,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGKILL before and after each transaction of a whole rotation, debts included; and of
    recovery by label.
    """
    seen = kills.survive_everywhere(watched, BOUNDARY_STEP)
    seen += kills.survive(watched, kills.OF_RECOVERY)
    back = {kills.act(place) for place in kills.GOING_BACK}
    wanted = {act: n for act, n in budget.allowed()["kills"]["label"].items() if act not in back}
    seen += kills.survive_up_to(watched, seen, wanted if BOUNDARY_STEP == 1 else {})
    (watched.folder / "CRASH").write_text(watched.stored_key)  # the service ends with any other key
    seen += kills.survive(watched, kills.GOING_BACK, lambda: _gone_back(watched))
    record_property("kills", kills.told("label", seen))
    with capsys.disabled():
        print(
            f"\n{kills.told('label', seen)}; {watched.traffic.requests} requests, 0 failed; "
            f"the slowest next run took over {watched.slowest:.2f} s after its start"
        )


def _gone_back(world: Watched) -> None:
    code, out = world.run()
    assert code == 3 and world.stored_key == (world.folder / "CRASH").read_text(), out
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_a_kill_at_a_random_instant_is_survived(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL whenever it pleases."""
    kills.survive_at_instants(watched, watched.killed_after, RANDOM_KILLS, 2.5)
    with capsys.disabled():
        print(
            f"\nkills: {RANDOM_KILLS} at random instants, {watched.traffic.requests} requests, 0"
            " failed"
        )


def test_two_rotations_at_the_same_moment_are_one(world: AcceptanceWorld) -> None:
    """One rotates; the other exits 75 and says who holds it."""
    world.admin("PUT", "/_faults", {"delay_create": 8})
    first = world.start_rotate()
    _wait_for(lambda: "generate" in _phase(world))
    second = world.rotator("rotate", "demo")
    assert second.returncode == 75
    assert f"/{first.pid}@" in second.stderr and "is being rotated by" in second.stderr
    assert first.wait(60) == 0
    world.promises_hold()


@pytest.mark.slow
def test_a_holder_that_froze_past_its_lease_writes_nothing_when_it_wakes(
    world: AcceptanceWorld,
) -> None:
    """SIGSTOP in the middle of a create that arrives late; another run takes over; SIGCONT changes
    nothing.
    """
    world.admin("PUT", "/_faults", {"delay_create": 27})
    frozen = world.start_rotate()
    _wait_for(lambda: "generate" in _phase(world))
    time.sleep(0.5)
    frozen.send_signal(signal.SIGSTOP)
    world.admin("PUT", "/_faults", {"delay_create": 0})
    busy = world.rotator("rotate", "demo")
    assert busy.returncode == 75, "a frozen holder's lease still counts"
    time.sleep(21)
    assert world.rotator("rotate", "demo", "--wait").returncode == 0
    stored = world.stored_key
    _wait_for(
        lambda: world.admin("GET", "/_state")["made"] == 3, 20
    )  # the frozen one's create has arrived
    frozen.send_signal(signal.SIGCONT)
    assert frozen.wait(60) == 75, frozen.stdout and frozen.stdout.read()
    assert world.stored_key == stored
    assert world.rotator("rotate", "--due").returncode == 0
    world.promises_hold()
    assert world.stored_key == stored


def test_a_create_whose_answer_is_lost_leaves_no_orphan(world: AcceptanceWorld) -> None:
    """The key exists at the issuer, nobody knows its value: found by its label, destroyed, made
    anew.
    """
    world.admin("PUT", "/_faults", {"lose_create": 1})
    done = world.rotator("rotate", "demo", "--wait")
    assert done.returncode == 0, done.stderr
    assert world.admin("GET", "/_state")["made"] == 3
    world.promises_hold()


def test_an_old_journal_revokes_nothing_and_names_adopt(
    world: AcceptanceWorld, tmp_path: Path
) -> None:
    """Restored from a backup taken before the last rotation: refused before any change, until a
    person adopts.
    """
    assert world.rotator("rotate", "demo", "--wait").returncode == 0
    backup = tmp_path / "old.db"
    assert world.rotator("db", "backup", str(backup)).returncode == 0
    assert world.rotator("rotate", "demo", "--wait").returncode == 0
    state = world.folder / "state"
    for file in state.glob("journal.db*"):
        file.unlink()
    backup.rename(state / "journal.db")
    _refused_then_adopted(world)


def test_a_lost_journal_revokes_nothing_and_names_adopt(world: AcceptanceWorld) -> None:
    """Deleted altogether: the current key survives."""
    assert world.rotator("rotate", "demo", "--wait").returncode == 0
    for file in (world.folder / "state").glob("journal.db*"):
        file.unlink()
    _refused_then_adopted(world)


def _refused_then_adopted(world: AcceptanceWorld) -> None:
    live = world.live_keys
    refused = world.rotator("rotate", "demo", "--wait")
    assert refused.returncode == 6 and "rotator adopt demo" in refused.stderr, (
        refused.stdout + refused.stderr
    )
    assert world.live_keys == live and world.stored_key == live[0]["value"]
    adopted = world.rotator("adopt", "demo")
    assert adopted.returncode == 0, adopted.stderr
    assert world.rotator("rotate", "demo", "--wait").returncode == 0
    world.promises_hold()


def _phase(world: AcceptanceWorld) -> str:
    found = world.rotator("status", "--json").stdout
    rotations = [one["rotation"] for one in json.loads(found)["playbooks"]] if found else []
    return next((rotation["phase"] for rotation in rotations if rotation), "")


def _wait_for(condition, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
