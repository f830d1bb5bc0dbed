"""What stands around a key in a store (a line's end, a byte order mark): no part of the key, and
kept as it is.

Consumers that got it so read the new key as they read the old one, whether they strip it or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from rotator.model import Finding, Level

_AROUND = " \t\r\n\ufeff"
_HINT = (
    "it is kept; whoever does not strip it sends it along with the key: `printf %s` instead of"
    " `echo` makes none"
)


def bare(text: str) -> str:
    """The key alone."""
    return text.strip(_AROUND)


def like(before: str, key: str) -> str:
    """The key with what stood around the one before."""
    held = bare(before)
    if not held:
        return key + before[len(before.rstrip("\r\n")) :]
    begin = before.index(held)
    return before[:begin] + key + before[begin + len(held) :]


def accidents(name: str, text: str, end: str = "") -> Iterator[Finding]:
    """A warning for what nobody means to stand there.

    `end` is usual: a file ends with a newline.
    """
    held = bare(text)
    if not held:
        return
    if "\n" in held and not held.startswith(("-----BEGIN", "{", "[")):
        text = f"{name} holds several lines, and all of them are taken for the key"
        yield Finding(
            Level.WARNING, text, "keep the key alone there: the new one takes the place of them all"
        )
    before, _, after = text.partition(held)
    for what, where in ((before, "before"), ("" if after == end else after, "behind")):
        if what:
            yield Finding(Level.WARNING, f"{name}: {_told(what)} {where} the key", _HINT)


def _told(what: str) -> str:
    if "\ufeff" in what:
        return "there is a byte order mark"
    if "\r" in what:
        return "there is a line's end of Windows (CR LF)"
    if not what.strip("\n"):
        return "there is a newline" if what == "\n" else "there are several newlines"
    return "there is white space"
