"""When a playbook is due, and from when on a timer may begin it.

`every` counts from the due moment that the last success belonged to, or from its beginning where a
person began it: never from its end, or a timer of the same interval would come too early every
second time. What was missed meanwhile is not made up. `cron` names its moments itself.

Due is one thing, and may begin another: jitter delays each playbook by a part of its own, windows
and blackouts hold it back. A window no longer does once the key is too old (`max_age`), or has been
due for too long (`max_overdue`); a blackout and `not_before` always do.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from rotator.schedules import cron
from rotator.schedules.opening import Opening

FOREVER = 4e9  # Unix seconds: never, where a number must stand
EARLIEST = 300.0  # seconds before its moment at which a timer may begin it at most
_EARLY = 1 / 20  # of the interval
ALWAYS = Opening()


@dataclass(frozen=True, slots=True)
class Due:
    """Unix seconds. `why` it may not begin when it is due: `jitter`, `not before`, `window`,
    `blackout`, or `failure`; `` where it may. `blackout` is the name of the one that puts it off.
    """

    at: float  # when it is due
    begins: float  # when a timer may begin it at the earliest; FOREVER where nothing ever opens
    why: str = ""
    blackout: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """A schedule. Durations in seconds, moments in Unix seconds."""

    every: float | None = None
    cron: str | None = None
    zone: str = "UTC"
    opening: Opening = ALWAYS
    phase: float = 0.0  # of the jitter, this playbook's own
    not_before: float = 0.0
    max_age: float | None = None
    max_overdue: float | None = None

    def due(self, counts_from: float | None, now: float, renew: float | None = None) -> Due:
        """`counts_from` is the moment that the last success belonged to; a key that was never
        rotated is due at once. At `renew` its key is to be replaced because it ends: then only
        blackouts hold it back.
        """
        at = self.moment(counts_from)
        usual = self._begins(at, counts_from, now)
        if renew is None or renew >= max(usual.begins, now):
            return usual
        begins = self._first(max(renew, now), windows=False)
        name = self.opening.blackout(max(renew, now))
        renewed = Due(min(at, renew), begins, "" if name is None else "blackout", name or "")
        return min(usual, renewed, key=lambda one: one.begins)

    def _begins(self, at: float, counts_from: float | None, now: float) -> Due:
        earliest = max(at + self.phase, self.not_before)
        asked = max(earliest, now)
        opens = self._first(asked, windows=True)
        if self.opening.windows and (limit := self._limit(at, counts_from)) < opens:
            opens = min(opens, self._first(max(asked, limit), windows=False))
        why = self._why(at, asked, opens, now)
        return Due(at, opens, why, self._blackout(asked) if why == "blackout" else "")

    def _blackout(self, at: float) -> str:
        return self.opening.blackout(at) or ""

    def _why(self, at: float, asked: float, begins: float, now: float) -> str:
        if begins <= max(at, now):
            return ""
        if closed := self.opening.why_closed(asked):
            return closed
        return "not before" if self.not_before > at + self.phase else "jitter"

    def _first(self, at: float, windows: bool) -> float:
        found = self.opening.opens(at, windows)
        return FOREVER if found is None else found

    def _limit(self, at: float, counts_from: float | None) -> float:
        """From when on no window holds it back. Nobody knows how long a key is due that was never
        rotated: that waits for its window.
        """
        if counts_from is None:
            return FOREVER
        overdue = FOREVER if self.max_overdue is None else at + self.max_overdue
        if self.max_age is None:
            return overdue
        return min(overdue, counts_from + self.max_age)

    def moment(self, counts_from: float | None) -> float:
        """When it is due next."""
        if counts_from is None:
            return 0.0
        if self.every is not None:
            return counts_from + self.every
        found = cron.next_of(self.cron or "", self.zone, counts_from)
        return FOREVER if found is None else found

    @property
    def early(self) -> float:
        """Seconds by which a timer that comes too early still counts: it may not come at the very
        same second each time.
        """
        return 0.0 if self.every is None else min(self.every * _EARLY, EARLIEST)

    def is_due(
        self,
        counts_from: float | None,
        now: float,
        renew: float | None = None,
        exactly: bool = False,
    ) -> bool:
        """Whether a timer that comes now begins it. `exactly`: it comes at each moment, so that
        none is too early.
        """
        begins = self.due(counts_from, now, renew).begins
        if begins <= now or exactly:
            return begins <= now
        early = now >= begins - self.early and now >= self.not_before
        return early and not self.opening.why_closed(now)

    def belongs_to(self, counts_from: float | None, now: float) -> float:
        """The due moment that a rotation belongs to which a timer begins now: the last one,
        whatever was missed before.

        Its beginning, where it was never due before.
        """
        if self.every is None or counts_from is None:
            return now
        intervals = math.floor((now + self.early - self.phase - counts_from) / self.every)
        return counts_from + intervals * self.every if intervals > 0 else now


def phase(name: str, jitter: float) -> float:
    """This playbook's part of the jitter: the same at each time, and on each machine."""
    digest = hashlib.sha256(name.encode()).digest()
    return jitter * int.from_bytes(digest[:8], "big") / 2**64
