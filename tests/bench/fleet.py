"""Daemons on one PostgreSQL, each a process: how long they need for the same playbooks."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path

from tests.acceptance.test_fleet import Fleet
from tests.servers import postgres
from tests.servers.tools import wait_for

_PLAYBOOKS = 96
_ROLL_OUT = 2  # seconds
_AIMS = {1: "", 2: "(1.6)", 4: "(2.2)"}


def fleet() -> None:
    """1, 2 and 4 daemons on one PostgreSQL, playbooks that are due at once, roll-outs of 2 s."""
    from tests.bench.cases import line

    alone = 0.0
    for number in _AIMS:
        took = _seconds(number)
        alone = alone or took
        ratio = f"{alone / took:.2f} of one {_AIMS[number]}" if number > 1 else ""
        line(f"{_PLAYBOOKS} rotations by {number} daemons", f"{took:.1f} s", ratio)


def _seconds(number: int) -> float:
    """From the first beginning to the last end."""
    with (
        tempfile.TemporaryDirectory(prefix="rotator-fleet-") as folder,
        postgres.server() as database,
    ):
        world = Fleet(Path(folder), database, _PLAYBOOKS)
        try:
            book = json.loads((world.folder / "playbooks" / "app.yaml").read_text())
            book["restart"][0]["run"] = ["sleep", str(_ROLL_OUT)]
            schedule = book.pop("schedule")
            world.write_playbook(book)
            for one in range(number):
                world.start_node(one)
            seen = "SELECT count(*) FROM nodes"
            wait_for("all nodes", lambda: world.rows(seen) == [(number,)], 120, 0.1, world.alive)
            world.write_playbook({**book, "schedule": schedule})
            wait_for("all", lambda: world.over() >= _PLAYBOOKS, 900, 0.2, world.alive)
            # A machine that is too busy loses leases, and then this measures something else
            assert world.verified() == _PLAYBOOKS, "rotations failed: is the machine busy?"
            [(took,)] = world.rows("SELECT max(ended) - min(began) FROM rotations")
            for daemon in world.daemons.values():
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(60) == 0
        finally:
            world.close()
    return float(took)
