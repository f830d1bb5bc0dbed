"""Outages of an API server as this process met them, and what they mean for a Secret.

A kubelet keeps what its watch last showed; cut off, it starts containers with that, so a pod that
was made around an outage proves nothing. Source:
https://kubernetes.io/docs/concepts/configuration/secret/#mounted-secrets-are-updated-automatically
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence

_ONE_OUTAGE = 30.0  # seconds between two failures that are of one outage
_NOTICED = 10.0  # seconds by which others may have noticed an outage before us
_KEPT = 10  # outages of one server

Outage = tuple[float, float]  # first and last failure, Unix seconds

_outages: dict[Hashable, list[Outage]] = {}
_lock = threading.Lock()


def note(server: Hashable) -> None:
    """The server could not be reached as it should, just now.

    Who else depends on it may have noticed, too, and take a while to be back.
    """
    now = time.time()
    with _lock:
        outages = _outages.setdefault(server, [])
        if outages and now - outages[-1][1] < _ONE_OUTAGE:
            outages[-1] = (outages[-1][0], now)
        else:
            outages[:] = [*outages[1 - _KEPT :], (now, now)]


def of(server: Hashable) -> list[Outage]:
    """Those of this process's life, the newest last; at most ten."""
    with _lock:
        return list(_outages.get(server, ()))


def until_calm(outages: Sequence[Outage], calm: float) -> float:
    """Seconds until kubelets have surely seen Secrets as they are; below zero: since then."""
    return max((end + calm - time.time() for _, end in outages), default=0.0)


def may_be_outdated(outages: Sequence[Outage], calm: float, made: float, since: float) -> bool:
    """Whether a pod made at `made` may have a Secret as it was before it was written at `since`.

    All times are Unix seconds.
    """
    spans = [(begin - _NOTICED, end + calm) for begin, end in outages]
    return any(begin <= made <= end and begin - calm <= since <= end for begin, end in spans)
