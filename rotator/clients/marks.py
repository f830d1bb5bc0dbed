"""Marks on what is restarted: for which change that was, and when it was ordered
(`CHANGE@SECONDS`).
"""

from __future__ import annotations

from collections.abc import Mapping

_BESIDE = 8  # playbooks that restart the same at a time, and leave each other's change


def free(taken: Mapping[str, str], mark: str, change: str) -> str:
    """Of `mark` and the names beside it, the one for this change, where nothing tells two playbooks
    apart that restart the same: its rotation's, else a free one, else that of the oldest change.
    """
    names = [mark, *(f"{mark}-{number}" for number in range(2, _BESIDE + 1))]
    rotation = change.partition(".")[0]
    for name in names:
        if name not in taken or taken[name].partition(".")[0] == rotation:
            return name
    return min(names, key=lambda name: ordered_at(taken[name]))


def ordered_at(text: str) -> float:
    """When the change was ordered (Unix seconds); 0 for what tells no moment."""
    try:
        return float(text.partition("@")[2] or 0)
    except ValueError:
        return 0.0
