"""Two playbooks on one consumer, in every order of their steps, with a crash after each of them.

The real decision works on a board as the journal keeps it. The rest is as small as can be: a store
for each key, and one consumer that reads both when it starts. Each process knows nothing after a
crash but what the journal has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from rotator.engine.together import Patience, TakeOver, Wait, decide
from rotator.journal.roll_outs import Board, RollOut, Sharer, Stage

NAMES = ("a", "b")


@dataclass(frozen=True, slots=True)
class One:
    """A rotation, and the process that works on it. `doing`: the order that it is about to give."""

    place: str = "write"  # then: written, restart, act, answer, converge, done
    doing: RollOut | None = None
    alive: bool = True
    patient: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """`held` are the keys that the consumer read when it started last. `restarts`: how often."""

    ones: tuple[One, One] = (One(), One())
    stored: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    board: tuple[tuple[int | None, int | None], tuple[RollOut, ...]] = ((None, None), ())
    tick: int = 0  # counts writes and restarts: the only clock there is
    written: tuple[int, int] = (0, 0)
    began: int = 0  # when the consumer started last
    restarts: int = 0
    crashes: int = 0
    by_itself: int = 0  # how often the consumer started without an order

    @property
    def seen(self) -> Board:
        sharers = tuple(
            Sharer(
                name,
                name,
                Stage.COMING if one.place in ("write", "written") else Stage.WRITTEN,
                float(self.written[index]),
                1,
                self.board[0][index],
                one.alive,
                0.0,
                one.place in ("restart", "act", "answer"),
            )
            for index, (name, one) in enumerate(zip(NAMES, self.ones, strict=True))
            if one.place != "done"
        )
        return Board(sharers, self.board[1])

    def having(self, index: int, one: One, **changes: object) -> World:
        ones = list(self.ones)
        ones[index] = one
        return replace(self, ones=(ones[0], ones[1]), **changes)  # type: ignore[arg-type]


def steps(world: World, index: int, most_crashes: int) -> Iterator[World]:
    """Every next state that this rotation can bring about."""
    one, name = world.ones[index], NAMES[index]
    if not one.alive:  # another process goes on by what the journal has
        again = {"written": "write", "act": "restart", "answer": "restart"}
        yield world.having(
            index, replace(one, place=again.get(one.place, one.place), doing=None, alive=True)
        )
        return
    if world.crashes < most_crashes and one.place not in ("write", "done"):
        yield replace(world.having(index, replace(one, alive=False)), crashes=world.crashes + 1)
    yield from _goes_on(world, index, one, name)


def _goes_on(world: World, index: int, one: One, name: str) -> Iterator[World]:
    match one.place:
        case "write":
            written = list(world.written)
            written[index] = world.tick + 1
            yield world.having(
                index,
                replace(one, place="written"),
                stored=world.stored | {name},
                tick=world.tick + 1,
                written=(written[0], written[1]),
            )
        case "written":  # its outcome is in the journal
            yield world.having(index, replace(one, place="restart"))
        case "restart":
            yield from _decides(world, index, one, name)
        case "act":
            assert one.doing is not None
            due = world.began <= one.doing.since  # as a restarter counts what needs none
            ordered = world.having(index, replace(one, place="answer"))
            yield replace(
                ordered,
                tick=world.tick + due,
                held=world.stored if due else world.held,
                began=world.tick + 1 if due else world.began,
                restarts=world.restarts + due,
            )
        case "answer":
            assert one.doing is not None
            n = one.doing.n
            roll_outs = tuple(
                replace(each, ordered=each.ordered or each.n == n) for each in world.board[1]
            )
            yield world.having(
                index,
                replace(one, place="converge", doing=None),
                board=(world.board[0], roll_outs),
            )
        case "converge":
            yield world.having(index, replace(one, place="done"))


def _decides(world: World, index: int, one: One, name: str) -> Iterator[World]:
    now = float(world.tick)
    end = now + 1.0 if one.patient else now - 1.0
    decided = decide(world.seen, name, f"{name}.new.1", Patience(end, end), now)
    if isinstance(decided, Wait):
        yield world.having(index, replace(one, patient=False))  # its time is over
        return
    if isinstance(decided, TakeOver):
        yield world.having(index, replace(one, place="converge"))
        return
    serving, roll_outs = world.board
    doing = decided.roll_out
    if not doing.n:
        doing = replace(doing, n=len(roll_outs) + 1)
        serves = {sharer.rotation for sharer in decided.serves}
        first = [doing.n if each in serves else n for each, n in zip(NAMES, serving, strict=True)]
        serving, roll_outs = (first[0], first[1]), (*roll_outs, doing)
    yield world.having(index, replace(one, place="act", doing=doing), board=(serving, roll_outs))


def _all(world: World, most_crashes: int) -> Iterator[World]:
    """And the consumer may start by itself, at any moment."""
    for index in range(len(NAMES)):
        yield from steps(world, index, most_crashes)
    if not world.by_itself:
        tick = world.tick + 1
        yield replace(world, tick=tick, began=tick, held=world.stored, by_itself=1)


def explored(most_crashes: int) -> set[World]:
    """Each state that can be reached."""
    known, ahead = {World()}, [World()]
    while ahead:
        world = ahead.pop()
        for following in _all(world, most_crashes):
            if following not in known:
                known.add(following)
                ahead.append(following)
    return known


@pytest.mark.parametrize("most_crashes", [0, 1, 2])
def test_no_restart_is_lost_and_none_is_in_vain(most_crashes: int) -> None:
    """Who has come past its restart is served by a consumer that has started since its store was
    written, in every state. Without a crash there are never more restarts than keys.
    """
    worlds = explored(most_crashes)
    for world in worlds:
        for name, one in zip(NAMES, world.ones, strict=True):
            if one.place in ("converge", "done"):
                assert name in world.held, world
        assert world.restarts <= len(NAMES) + world.crashes, world
    ends = [world for world in worlds if all(one.place == "done" for one in world.ones)]
    assert ends
    assert all(world.held == set(NAMES) for world in ends)


def test_whoever_waits_is_served_by_the_one_restart() -> None:
    """As long as nobody's time is over, two keys cost one restart, in either order."""
    patient = [
        world
        for world in explored(0)
        if all(one.place == "done" and one.patient for one in world.ones)
    ]
    assert patient
    assert {world.restarts for world in patient if not world.by_itself} == {1}
    assert max(world.restarts for world in patient) == 1


def test_from_every_state_both_come_to_their_end() -> None:
    """Nobody waits for ever for one who has died, or for one who waits for them."""
    worlds = explored(1)
    ends = {world for world in worlds if all(one.place == "done" for one in world.ones)}
    back: dict[World, list[World]] = {}
    for world in worlds:
        for following in _all(world, 1):
            back.setdefault(following, []).append(world)
    reaches, ahead = set(ends), list(ends)
    while ahead:
        for before in back.get(ahead.pop(), ()):
            if before not in reaches:
                reaches.add(before)
                ahead.append(before)
    assert reaches == worlds
