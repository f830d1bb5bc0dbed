"""What a rotation cannot be quicker than, and where the rest of its time goes.

The floor: the calls that a rotation consists of, in a row, as long as each took here: the create,
the time in which a new key becomes known, the writes, the roll-out until the last pod from before
is gone, revocation, first refusal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rotator.core.action import Call, Done, Op
from rotator.core.debt_state import Debt
from rotator.core.state import Rotation
from rotator.core.turn import Unit
from rotator.engine.performed import Performed

STEPS = ("start", "preflight", "generate", "store", "restart", "verify", "revoke")


@dataclass
class Timeline:
    """An observer of one rotation: which calls it made, of which step, and when (seconds of
    `time.perf_counter`).
    """

    begun: float = 0.0
    ended: float = 0.0
    gone: float = 0.0  # when the last pod from before was gone
    propagation: float = 0.0
    calls: list[tuple[Call, float, float]] = field(default_factory=list)
    _since: float = 0.0

    def __call__(self, unit: Unit, call: Call, performed: Performed | None, took: float) -> None:
        now = time.perf_counter()
        if performed is None:
            self._since = now
        elif isinstance(performed.result, Done) or call.op is Op.PROGRESS:
            self.calls.append((call, self._since, now))
        if isinstance(unit, Rotation | Debt):
            self.propagation = unit.plan.policy.propagation

    def floor(self) -> dict[str, float]:
        """Seconds of each part, by its step."""
        restarted = min(since for call, since, _ in self.calls if call.op is Op.RESTART)
        first_refusal = next(
            ended - since for call, since, ended in self.calls if call.op is Op.PROVE
        )
        return {
            "generate": self._took(Op.GENERATE) + self.propagation,
            "store": self._took(Op.WRITE),
            "restart": self.gone - restarted,
            "revoke": self._took(Op.REVOKE) + first_refusal,
        }

    def _took(self, op: Op) -> float:
        return sum(ended - since for call, since, ended in self.calls if call.op is op)

    def steps(self) -> dict[str, float]:
        """Seconds from the first call of each step to the first one of the next: waits and
        transactions count.
        """
        found = dict.fromkeys(STEPS, 0.0)
        at, step = self.begun, "start"
        for call, since, _ in self.calls:
            found[step] += since - at
            at, step = since, call.step
        found[step] += self.ended - at
        return found

    def above(self) -> dict[str, float]:
        """Each step's own time: what it took beyond its part of the floor."""
        floor = self.floor()
        return {step: took - floor.get(step, 0.0) for step, took in self.steps().items()}


def until_gone(timeline: Timeline, pods: Callable[[], set[str]]) -> threading.Thread:
    """Notes when those that run now are all gone; a thread of its own, so that the rotation need
    not look.
    """
    before = pods()

    def look() -> None:
        while before & pods():
            time.sleep(0.05)
        timeline.gone = time.perf_counter()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    return thread
