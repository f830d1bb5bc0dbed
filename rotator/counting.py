"""Numbers of things, and lengths of time, in words: 1 key, 2 keys; 1 d 4 h."""

from __future__ import annotations

SECONDS = {
    "w": 604_800.0,
    "d": 86_400.0,
    "h": 3_600.0,
    "min": 60.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 0.001,
}


def count(number: int, thing: str, things: str = "") -> str:
    """`things`: the plural where it is not `thing` with an s."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def span(length: float) -> str:
    """Seconds for people, their two largest parts: 1 d 4 h. Read in a playbook as well."""
    if 0 < length < 1:
        return f"{max(length * 1000, 1):.0f} ms" if length < 0.9995 else "1 s"
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        number, length = divmod(length, SECONDS[unit])
        if number:
            parts.append(f"{number:.0f} {'min' if unit == 'm' else unit}")
    return " ".join(parts[:2]) or "0 s"


def about(length: float) -> str:
    """The same of seconds that were measured, or are left: whole ones from half a second on."""
    return span(round(length) or length)


def as_typed(length: float) -> str:
    """Seconds as one writes them in a playbook, exact to the millisecond: 1d4h."""
    left, parts = round(length * 1000), []
    for unit in ("d", "h", "m", "s", "ms"):
        number, left = divmod(left, round(SECONDS[unit] * 1000))
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
