"""The fence: a holder writes only while its token is the present one."""

from __future__ import annotations


def admits(present: int, mine: int) -> bool:
    """Whether a write under token `mine` may be committed when the lease's present token is
    `present`.
    """
    return present == mine
