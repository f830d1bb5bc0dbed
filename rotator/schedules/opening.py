"""When rotations may begin: within windows, outside blackouts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rotator.schedules import zones
from rotator.schedules.blackouts import Always, Blackout
from rotator.schedules.windows import DAY, Window

HORIZON = 2 * 366 * DAY  # seconds in which something must open, else it never does


@dataclass(frozen=True, slots=True)
class Opening:
    """Within one of the windows (any time, where there is none), on the wall clock of `zone`;
    outside all blackouts.
    """

    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    blackouts: tuple[Blackout, ...] = ()

    def why_closed(self, at: float, windows: bool = True) -> str:
        """`blackout`, `window`, or '' where a rotation may begin. `windows`: whether they count."""
        if self.blackout(at) is not None:
            return "blackout"
        return "" if not windows or not self.windows or self._within(at) else "window"

    def blackout(self, at: float) -> str | None:
        """The name of a blackout that covers this moment."""
        for one in self.blackouts:
            if (name := one.name_at(at)) is not None:
                return name
        return None

    def _within(self, at: float) -> bool:
        wall = zones.wall(self.zone, at)
        return any(one.has(wall) for one in self.windows)

    def opens(self, at: float, windows: bool = True) -> float | None:
        """The first moment from this one on at which a rotation may begin; None where there is none
        within two years.
        """
        if not self.why_closed(at, windows):
            return at
        if any(isinstance(one, Always) for one in self.blackouts):
            return None  # looking through two years of windows takes long, for many playbooks
        return next((one for one in self._edges(at) if not self.why_closed(one, windows)), None)

    def closes(self, at: float) -> float | None:
        """When it is open no more, or, where it never closes, None."""
        if self.why_closed(at):
            return at
        return next((one for one in self._edges(at) if self.why_closed(one)), None)

    def _edges(self, at: float) -> Iterable[float]:
        """Moments after this one at which something may open or close, in their order."""
        for begin, end, offset in _weeks(self.zone, at):
            edges = {begin, *(edge for one in self.blackouts for edge in one.edges(begin, end))}
            for one in self.windows:
                edges |= {wall - offset for wall in one.edges(begin + offset, end + offset)}
            yield from sorted(one for one in edges if one > at)


def _weeks(zone: str, at: float) -> Iterable[tuple[float, float, int]]:
    """Pieces of the time from `at` up to the horizon, each of one offset from UTC."""
    for stretch in zones.stretches(zone, at):
        begin = max(float(stretch.begin), at)
        while begin < min(stretch.end, at + HORIZON):
            end = min(begin + 7 * DAY, float(stretch.end))
            yield begin, end, stretch.offset
            begin = end
        if stretch.end > at + HORIZON:
            return
