"""In which part of a run a test belongs, by the servers that the tests of its module are about.

Most suites of real servers wait: for a roll-out, for a lease to end. So one part has the journeys
of the installed command that need none of these, and all tests of Kubernetes; one has those of
container engines and of systemd, and one the rest, the daemon's among them; `python -m tests` runs them side by side: more
would only wait for processors. What is generated (the model, the simulation, properties: a part
each) computes all the time: it would make the others late, and runs first.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

GENERATED = ("model", "simulation", "properties")
NAMES = (*GENERATED, "kubernetes", "engines", "rest")
# All that is not generated, where no server is installed by the run: its modules are shared out
# among twice as many processes as there are processors, as the command's journeys mostly wait.
TOGETHER = "together"
LONG = "takes long: CI runs it, and ROTATOR_LONG=1 make test"
_TESTS = Path(__file__).parent
# The first of these that a module needs is what its tests are about, and decides in which part they
# run.
_SERVERS = {
    "kube": "kubernetes",
    "swarm": "swarm",
    "engine": "containers",
    "systemd": "systemd",
    "bao": "bao",
    "aws": "moto",
    "postgres": "postgres",
}
# Journeys as well, but the part of the others takes long enough without them.
_OF_THE_DAEMON = ("test_daemon", "test_fleet", "test_monitoring")
_PART = {
    "kubernetes": "kubernetes",
    "swarm": "engines",
    "containers": "engines",
    "systemd": "engines",
}


@dataclass(frozen=True)
class Place:
    """Where a test belongs: its server (or none), and the part of the run."""

    server: str
    shard: str


def has(shard: str, place: Place) -> bool:
    """Whether a test of this place runs in this part."""
    return place.shard not in GENERATED if shard == TOGETHER else place.shard == shard


def of(items: Iterable[pytest.Item]) -> dict[pytest.Item, Place]:
    """By the fixtures that the tests of its module ask for, or by the module's word
    (`pytest.mark.server`).
    """
    asked: dict[Path, set[str]] = defaultdict(set)
    several = list(items)
    for item in several:
        asked[item.path] |= set(getattr(item, "fixturenames", ()))
        asked[item.path] |= {name for marker in item.iter_markers("server") for name in marker.args}
    return {item: _place(item.path, asked[item.path]) for item in several}


def _place(path: Path, asked: set[str]) -> Place:
    server = next((name for fixture, name in _SERVERS.items() if fixture in asked), "")
    ring = _ring(path)
    journeys = ring == "acceptance" and path.stem not in _OF_THE_DAEMON
    by_ring = ring if ring in GENERATED else "kubernetes" if journeys else "rest"
    return Place(server, _PART.get(server, by_ring))


def _ring(path: Path) -> str:
    return path.relative_to(_TESTS).parts[0] if path.is_relative_to(_TESTS) else ""


def tell(line: str) -> None:
    """To whoever runs this part beside others: how many tests there are, and which have ended."""
    if told := os.environ.get("ROTATOR_TESTS_TOLD"):
        with open(told, "a") as file:
            file.write(f"{line}\n")
