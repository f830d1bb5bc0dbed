"""Numbers of things in words: 1 key, 2 keys."""

from __future__ import annotations


def count(number: int, thing: str, things: str = "") -> str:
    """`things`: the plural where it is not `thing` with an s."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"
