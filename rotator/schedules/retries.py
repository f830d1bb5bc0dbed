"""When what failed is tried again without a person: later each time, and never given up.

An hour after the first failure, twice as long after each further one, 32 hours at most. Where
consumers have no key at all, a minute at first, and an hour at most. Where their key ends, no wait
takes more than half of the time that is left until then; after it they have none.
"""

from __future__ import annotations

import hashlib

_FIRST, _MOST = 3600.0, 32 * 3600.0
_FIRST_WITHOUT, _MOST_WITHOUT = 60.0, 3600.0
_SPREAD = 0.1  # of the wait: what failed at once for many is not tried at once for all again
LONGEST = _MOST * (1 + _SPREAD)  # seconds


def again(
    failures: int,
    last: float,
    seed: str,
    without_key: bool = False,
    ends: float | None = None,
) -> float:
    """The moment (Unix seconds) of the next try after so many failures in a row, the last at
    `last`; 0 where there was none. `seed` decides the spread, `ends` is when the key in force does.
    """
    if failures == 0:
        return 0.0
    left = float("inf") if ends is None else ends - last
    without_key = without_key or left <= 0
    first, most = (_FIRST_WITHOUT, _MOST_WITHOUT) if without_key else (_FIRST, _MOST)
    wait = min(first * 2.0 ** min(failures - 1, 20), most)
    if left > 0:
        wait = min(wait, max(left / 2, _FIRST_WITHOUT) / (1 + _SPREAD))  # spread and all
    part = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32
    return last + wait * (1 + _SPREAD * part)
