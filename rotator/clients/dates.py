"""Dates of HTTP answers, and what they say of the server's clock (RFC 9110, 5.6.7 and 6.6.1)."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


def http_date(text: str) -> float | None:
    """Unix seconds, None for what is no date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, ArithmeticError):
        return None


def clock_skew(date: str) -> float:
    """Seconds by which a server's clock is ahead of ours, by the Date of its answer; 0 without one.

    A Date is in whole seconds, rounded down: right to half a second, and the time of the way.
    """
    at = http_date(date)
    return at + 0.5 - time.time() if at is not None else 0.0
