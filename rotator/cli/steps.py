"""The five steps as a person watches them: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rotator.cli import console
from rotator.core.action import Action, Call, Done, Failed, Later, Op, Unknown, WaitUntil
from rotator.core.debt_state import Debt, Proof
from rotator.core.patience import ENDLESS
from rotator.core.state import Rotation
from rotator.counting import span
from rotator.secret import redact

if TYPE_CHECKING:
    from rotator.engine.performed import Performed

_WIDTH = 10
_WIDEST = 100  # columns: farther apart, an eye does not find a step's time
_TIME = 9
_AGAIN = 60.0  # seconds until the same is said once more
_LONG = 5.0  # seconds: a wait that a person wants to be told of


@dataclass
class StepLine:
    """One step of one rotation: what was achieved, what went wrong, how long it took."""

    name: str
    began: float
    took: float = 0.0
    done: list[str] = field(default_factory=list)
    failed: str = ""
    waiting: str = ""
    tries: int = 0
    warnings: tuple[str, ...] = ()
    told: tuple[str, float] = ("", 0.0)

    def is_news(self, why: str) -> bool:
        """Whether this was not said within the last minute; seconds that are left are no news."""
        now, why = time.monotonic(), re.sub(r"\d+", "", why)
        if self.told[0] == why and now - self.told[1] < _AGAIN:
            return False
        self.told = why, now
        return True

    @property
    def mark(self) -> str:
        return "✗" if self.failed else "✓"

    @property
    def words(self) -> str:
        words = self.failed or " · ".join(dict.fromkeys(self.done))
        if self.tries and not self.failed and self.name == "generate":
            words += f", accepted by the provider after {self.tries + 1} tries"
        return redact(words)


class StepView:
    """An observer for the runner.

    Several rotations at once are told apart by their playbook's name.
    """

    def __init__(self, names: Iterable[str] = (), quiet: bool = False, many: bool = False) -> None:
        self._many = many or bool(names)
        self._widest = 0
        self.expect(names)
        self._quiet = quiet
        self._lines: dict[
            tuple[str, str], StepLine
        ] = {}  # of each playbook and unit: old keys act between its steps
        self._followed: set[str] = set()  # what was told of the works of other processes
        self._lock = threading.Lock()
        self._live = (
            None if quiet or self._many or not console.LiveLine.fits() else console.LiveLine()
        )
        self.finished: dict[str, list[dict[str, Any]]] = {}

    def expect(self, names: Iterable[str]) -> None:
        """Of these playbooks lines will be told: their steps stand below each other."""
        self._widest = max(map(len, names), default=0)

    def __call__(
        self, unit: Rotation | Debt, call: Call, performed: Performed | None, took: float
    ) -> None:
        step = call.step
        with self._lock:
            where = (unit.playbook, unit.id)
            line = self._lines.get(where)
            if line is None or line.name != step:
                if line is not None:
                    self._finish(unit.playbook, line)
                line = self._lines[where] = StepLine(step, time.monotonic())
            line.took = time.monotonic() - line.began
            if performed is not None:
                _learn(line, call, performed)
                self._soaks(unit, call, performed)
            if self._live is not None:
                self._live.update(f"{step}: {line.waiting}" if line.waiting else f"{step}…")

    def waits(self, unit: Rotation | Debt | None, action: Action) -> None:
        """For what a command waits now: why, which try it will be, and until when it is tried; told
        once a minute.
        """
        with self._lock:
            if unit is None:
                return self._follows(action)
            line = self._lines.get((unit.playbook, unit.id))
            if not isinstance(action, WaitUntil):
                return None
            if line is None:  # an old key whose time has not come
                line = self._lines[unit.playbook, unit.id] = StepLine("revoke", time.monotonic())
            why = line.failed or line.waiting
            text = _retrying(unit, line, action.at)
            if not why and action.at - time.time() > _LONG:
                why = text = f"{redact(action.why)}, until {_clock(action.at)}"
                self._finish_what_is_over(unit.playbook)
            if self._live is not None:
                self._live.update(text)
            elif why and line.is_news(why) and not self._quiet:
                self._say(unit.playbook, line.name, "…", text)
            return None

    def _finish_what_is_over(self, playbook: str) -> None:
        """Steps that were done are reported before a long wait, not after it."""
        for (of, unit), line in list(self._lines.items()):
            if of == playbook and line.done and not line.failed and not line.waiting:
                self._finish(playbook, line)
                del self._lines[of, unit]

    def _follows(self, action: Action) -> None:
        """Another process is at it, and this one looks how far it is: told when that changes."""
        text = redact(action.why) if isinstance(action, WaitUntil) else ""
        if self._live is not None and text:
            self._live.update(text)
        elif text and text not in self._followed and not self._quiet:
            self._followed.add(text)
            console.put(f"  {text}", 4)

    def _soaks(self, unit: Rotation | Debt, call: Call, performed: Performed) -> None:
        """The longest wait in front of a person says what it is."""
        if self._quiet or call.op is not Op.DEACTIVATE or not isinstance(performed.result, Done):
            return
        if isinstance(unit, Debt) and unit.plan.policy.soak:
            words = f"{unit.key} is deactivated for {span(unit.plan.policy.soak)}, then destroyed"
            self._say(unit.playbook, "revoke", "…", redact(words))

    def _say(
        self, playbook: str, step: str, mark: str, words: str, took: float | None = None
    ) -> None:
        """A line that stays; on a terminal as wide as that, with its time at the right edge."""
        who = f"{playbook + ':':<{self._widest + 1}} " if self._many else "  "
        head = f"{who}{step:<{_WIDTH}} {mark} "
        lines = laid_out(head, words, took, console.columns())
        if self._live is not None:
            self._live.put(*lines)
        else:
            print("\n".join(lines), flush=True)

    def close(self) -> None:
        with self._lock:
            for (playbook, _), line in self._lines.items():
                self._finish(playbook, line)
            self._lines.clear()
            if self._live is not None:
                self._live.stop()

    def _finish(self, playbook: str, line: StepLine) -> None:
        if line.waiting and not line.failed:
            line.failed = line.waiting
        if line.name == "order" or not (line.done or line.failed):
            return
        self.finished.setdefault(playbook, []).append(
            {
                "step": line.name,
                "ok": not line.failed,
                "done": [redact(text) for text in dict.fromkeys(line.done)],
                "error": redact(line.failed) or None,
                "warnings": [redact(text) for text in line.warnings],
                "seconds": round(line.took, 3),
            }
        )
        if self._quiet:
            return
        self._say(playbook, line.name, line.mark, line.words, line.took)
        for warning in line.warnings:
            self._say(playbook, "", "!", redact(warning))


def laid_out(head: str, words: str, took: float | None, columns: int | None) -> list[str]:
    """The lines of a step: what is broken goes on below where its words begin; its time ends the
    last one.
    """
    time = "" if took is None else f"{took:.1f} s"
    if columns is None:
        return [f"{head}{words}  {time}".rstrip()]
    width = min(columns - 1, _WIDEST)
    lines = console.folded(f"{head}{words}", width - _TIME, len(head))
    if len(lines[-1]) > width - _TIME and time:  # a path that is longer than the line
        lines.append("")
    lines[-1] = f"{lines[-1]:<{width - _TIME}}{time:>{_TIME}}".rstrip()
    return lines


def as_told(step: dict[str, Any]) -> None:
    """Print a step that another process told as JSON."""
    words = step["error"] or " · ".join(step["done"])
    head = f"  {step['step']:<{_WIDTH}} {'✓' if step['ok'] else '✗'} "
    print("\n".join(laid_out(head, words, step["seconds"], console.columns())), flush=True)


def _learn(line: StepLine, call: Call, performed: Performed) -> None:
    result = performed.result
    if call.op is Op.ACCEPT:  # beside the roll-out: whatever it shows, verify tells
        return
    if isinstance(result, Later):
        line.waiting = result.text if call.op is not Op.WATCH else ""  # what is watched is over
    elif (
        isinstance(result, Failed) and call.op is Op.WATCH
    ):  # the key is dead: that is what the line tells
        line.warnings = (f"a probe fails since then: {result.message}",)
    elif isinstance(result, Failed | Unknown):
        line.tries += 1
        line.failed = result.message
    elif isinstance(result, Done) and call.op is Op.PROVE and not result.data:
        line.waiting = f"{call.key} is not refused yet"
    elif isinstance(result, Done):
        line.waiting = ""
        if (
            call.op is not Op.RECOVER
        ):  # which only looks what a lost answer left: that it was lost is news still
            line.failed = ""
        line.warnings = tuple(
            finding.text for finding in performed.findings if finding.level == "warning"
        )
        words = performed.detail or _words(call, result)
        if words:
            line.done.append(words)


def _retrying(unit: Rotation | Debt, line: StepLine, at: float) -> str:
    if not line.failed:
        return f"{redact(line.waiting) or line.name}; asked again at {_clock(at)}"
    policy = unit.plan.policy
    endless = isinstance(unit, Debt) or unit.phase in ENDLESS
    until = "without end" if endless else f"until {_clock(unit.since + policy.deadline)}"
    number = max(unit.tries, line.tries) + 1
    return f"{redact(line.failed)}; try {number} at {_clock(at)}, {until}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _words(call: Call, result: Done) -> str:
    unlisted = result.data is Proof.UNLISTED
    return {
        Op.REVOKE: f"{call.key} revoked",
        Op.DEACTIVATE: f"{call.key} deactivated",
        Op.PROVE: "no longer listed by the provider" if unlisted else "refused by the provider",
        Op.PREFLIGHT: "nothing hinders it",
    }.get(call.op, "")
