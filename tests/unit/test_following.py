"""An order that was handed to another process is followed to what became of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rotator.engine.clock import SystemClock
from rotator.engine.fleet import Elsewhere, Why
from rotator.engine.pool import drive
from rotator.errors import BusyError, RefusedError
from rotator.usecases import following


class OfAnotherNode:
    """A playbook whose holder, on its own node, is at work for so many looks, and then ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: int, carried_out: bool) -> None:
        self.looks, self.carried_out, self.given_back = looks, carried_out, list[object]()
        monkeypatch.setattr(following, "_FOLLOW_EVERY", 0.0)
        monkeypatch.setattr(following, "_what_the_holder_does", lambda _: "")
        self.taken_back: list[int] = []
        monkeypatch.setattr(
            following, "_take_back", lambda _, number, refused: self.taken_back.append(number)
        )

    def take(self, name: str) -> str:
        self.looks -= 1
        if self.looks >= 0:
            raise BusyError("is worked on")
        return "the lease"

    def ordered(self) -> str:
        loaded: Any = None
        runtime: Any = SimpleNamespace(
            keeper=SimpleNamespace(take=self.take, give_back=self.given_back.append),
            clock=SystemClock(),
            waits=lambda *_: None,
            situation=lambda *_: None,
            elsewhere=lambda *_: Elsewhere(Why.ON, ("web-1",)),
            fleet=SimpleNamespace(node="web-2"),
        )
        work: Any = following.with_the_lease(
            runtime, "one", loaded, lambda: 7, self._never, self._followed
        )
        return str(drive(runtime.clock, work))

    def _never(self, *_: object) -> Any:
        raise AssertionError("it is another node's")

    def _followed(self, number: int, ended: bool) -> str | None:
        """Taken up right before its holder gave the lease back."""
        assert ended == (self.looks < 0)
        return "done" if ended and self.carried_out else None


def test_what_the_other_node_did_before_it_ended_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = OfAnotherNode(monkeypatch, 2, carried_out=True)
    assert other.ordered() == "done"
    assert other.given_back == ["the lease"] and other.taken_back == []


@pytest.mark.parametrize("looks", [0, 2])
def test_what_nobody_did_is_refused(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    other = OfAnotherNode(monkeypatch, looks, carried_out=False)
    with pytest.raises(RefusedError, match="one runs on web-1"):
        other.ordered()
    assert other.given_back == ["the lease"] and other.taken_back == [7] * (looks > 0)
