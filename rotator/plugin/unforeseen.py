"""What a plugin may raise that it did not foresee: an error of its own, not of rotator's."""

from __future__ import annotations

_WRONG_VALUE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
# RuntimeError: RecursionError is one
UNFORESEEN = (OSError, RuntimeError, AssertionError, *_WRONG_VALUE)
