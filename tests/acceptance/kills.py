"""SIGKILL of the installed `rotate` at chosen places, and what must be so once the next run has
carried on.

A place is a side of one transaction of the journal, called by the phase performed last
(killer/sitecustomize.py). Several joined by " > " are reached one after the other: the run that
carries on is killed itself.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

EVERYWHERE = bool(
    os.environ.get("ROTATOR_KILL_EVERYWHERE")
)  # `make soak`: at every place, in every world
SEED = int(os.environ.get("ROTATOR_FIRST_SEED", "1"))

# What differs from world to world is what stores and consumers are: killed in each of them.
OF_A_WORLD = (
    "before write",
    "after write",
    "before restart",
    "before converge",
    "before verify",
    "before look",
    "before debt look",
)
GOING_BACK = ("before restore", "before undo restart")

# What only the provider takes part in is the same in every world: killed in one for each kind of
# recovery.
OF_RECOVERY = (
    "before generate > before recover",
    "before generate > after recover",
    "before generate > before discard",
)
OF_A_PROVIDER = (
    "after preflight",
    "before generate",
    "after generate",
    "before recognise",
    "before debt deactivate",
    "after debt deactivate",
    "before debt revoke",
    "after debt revoke",
    "before debt prove",
    "before debt retire",
    "before debt sweep",
)


class World(Protocol):
    folder: Path

    def run(self, **environment: str) -> tuple[int, str]:
        """`rotate NAME --wait` to its end, or killed; its exit status and what it printed."""
        ...

    def promises_hold(self) -> None: ...


def killed_at(place: str, world: World) -> tuple[int, str]:
    """The next run is killed there; its exit status and what it printed."""
    passed = world.folder / "places"
    passed.unlink(missing_ok=True)
    return world.run(
        PYTHONPATH=str(Path(__file__).parent / "killer"), KILL_AT=place, PLACES=str(passed)
    )


def survive(
    world: World, places: Iterable[str], carried_on: Callable[[], None] | None = None
) -> Counter[str]:
    """Each of these kills happens, and the next run carries on; how many of each act."""
    seen: Counter[str] = Counter()
    for chain in places:
        for place in chain.split(" > "):
            code, out = killed_at(place, world)
            assert code == -signal.SIGKILL, f"{chain}: {place} was not reached ({code}): {out}"
            seen[act(place)] += 1
        (carried_on or (lambda: carry_on(world)))()
    return seen


def survive_everywhere(world: World, step: int) -> Counter[str]:
    """Killed at every `step`th place that an undisturbed rotation passes."""
    code, out = killed_at("never", world)
    assert code == 0, out
    count, seen = len(_passed(world)), Counter[str]()
    for number in range(1 + SEED % step, count + 1, step):
        code, out = killed_at(str(number), world)
        assert code in (-signal.SIGKILL, 0), f"place {number}: {out}"
        if code:
            seen[act(_passed(world)[-1])] += 1
        carry_on(world)
    # Later rotations pass fewer: the first one has more to find out.
    assert seen.total() > 0.7 * (count // step), (
        f"only {seen.total()} of {count} places were reached"
    )
    return seen


def survive_up_to(world: World, seen: Counter[str], wanted: Mapping[str, int]) -> Counter[str]:
    """Killed at the sides of each act that was met more seldom than is wanted, by turns; how many
    more of each.

    How many transactions an act takes differs from run to run: who is quick asks a consumer less
    often.
    """
    short = [(one, count - seen[one]) for one, count in wanted.items()]
    return survive(
        world, [f"{('before', 'after')[n % 2]} {one}" for one, count in short for n in range(count)]
    )


def survive_at_instants(
    world: World, kill: Callable[[float], None], count: int, longest: float
) -> None:
    """Killed at moments chosen by a seed, `kill` being given the seconds after the start."""
    rng = random.Random(SEED)
    for _ in range(count):
        kill(rng.uniform(0.3, longest))
        carry_on(world)


def carry_on(world: World) -> None:
    code, out = world.run()
    assert code == 0, out
    world.promises_hold()


def act(place: str) -> str:
    """What it is a side of."""
    return place.removeprefix("before ").removeprefix("after ")


def told(name: str, seen: Counter[str]) -> str:
    """For the budget of the tests, which wants each world's acts to be killed as often as ever."""
    return f"{name}: " + ", ".join(f"{one} {count}" for one, count in sorted(seen.items()))


def _passed(world: World) -> list[str]:
    return (world.folder / "places").read_text().splitlines()
