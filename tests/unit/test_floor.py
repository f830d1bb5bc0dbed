"""What the bench tells of a rotation adds up: its floor, and each step's own time above it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rotator.integrations.memory import world as memory
from rotator.usecases.service import Request
from tests.bench.floor import STEPS, Timeline, until_gone
from tests.bench.worlds import World


@pytest.fixture
def timeline(memory_world: memory.World) -> Iterator[Timeline]:
    """Of a rotation in memory whose consumer takes 0.1 s to come up, and runs on for as long."""
    world, found = World(1), Timeline()
    name = world.names[0]
    start = memory.WORLD.start

    def slowly(started: str) -> memory.Consumer:
        consumer = start(started)
        consumer.started_at += 0.1
        return consumer

    memory.WORLD.start = slowly  # type: ignore[method-assign]
    before = memory.WORLD.consumers[name].starts

    def running() -> set[str]:
        consumer = memory.WORLD.consumers[name]
        return (
            {"old"} if consumer.starts == before or consumer.started_at > time.time() else {"new"}
        )

    world.service.observe = found
    looking = until_gone(found, running)
    found.begun = time.perf_counter()
    assert world.service.rotate(name, Request(wait=True)).code == 0
    found.ended = time.perf_counter()
    looking.join(10)
    world.close()
    yield found


def test_the_steps_add_up_to_the_whole(timeline: Timeline) -> None:
    steps = timeline.steps()
    assert set(steps) == set(STEPS)
    assert sum(steps.values()) == pytest.approx(timeline.ended - timeline.begun)


def test_the_floor_is_the_calls_alone_and_above_it_is_the_rest(timeline: Timeline) -> None:
    floor, above = timeline.floor(), timeline.above()
    assert floor["restart"] >= 0.1, "until those from before are gone"
    assert all(seconds > 0 for seconds in floor.values())
    total = sum(floor.values()) + sum(above.values())
    assert total == pytest.approx(timeline.ended - timeline.begun)
    assert above["verify"] > 0 and above["preflight"] > 0, (
        "what no key needs to be changed is above it as a whole"
    )
