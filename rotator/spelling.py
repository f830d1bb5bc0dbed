"""How a secret may be spelled when it is echoed: what the redactor looks for, and where that stands
in a text.

Texts are compared *plain*: small letters and digits alone, as anything else may stand between the
parts of a text that was broken up (lines of base64, `"sk-ab" + "cd"`, pairs of hex digits,
`sk.ab/cd`). What URLs, HTML, JSON and Python write for a character is read as the character. All of
it takes time in proportion to the text.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence

SHORTEST = 8  # of a plain form: shorter ones would stand in ordinary words that follow each other
_END = 16  # of a plain form: where it ends so, it is as good as all of it
_ROUNDS = 3  # of escapes within escapes: %252f
_BETWEEN = bytes(code for code in range(128) if not chr(code).isalnum())
_NO_LETTERS = re.compile(r"[^\w]+")  # of any writing, also what is not shown at all
_SMALL = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
_ESCAPE = re.compile(
    r"%[0-9A-Fa-f]{2}|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
    # From the first of many: each is looked at once
    r"|(?<!\\)\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrtfb])"
)


def plain(text: str) -> bytes:
    """The text as it is compared, escapes left as they are."""
    if not text.isascii():
        text = _NO_LETTERS.sub("", text)
    return encoded(text).translate(_SMALL, _BETWEEN)


def encoded(text: str) -> bytes:
    """UTF-8, also of half a character."""
    return text.encode("utf-8", "surrogatepass")


def escaped(text: str) -> bool:
    """Whether there may be escapes in it."""
    return "%" in text or "&" in text or "\\" in text


def meant(text: str) -> bytes:
    """The text as it is compared, escapes read as what they mean."""
    for _ in range(_ROUNDS):
        text, count = _ESCAPE.subn(_character, text)
        if not count:
            break
    return plain(text)


def _character(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "%":
        return chr(int(text[1:], 16))
    if text[0] == "&":
        return html.unescape(text)
    rest = text.lstrip("\\")
    return chr(int(rest[1:], 16)) if len(rest) > 1 else "\n"


def forms(text: str, written: Iterable[str]) -> frozenset[bytes]:
    """The plain forms of a secret: as it is `written`, backwards, in hex, and in base64 with
    anything around it.
    """
    raw = text.encode(errors="replace")
    letters = plain(text)
    found = {raw.hex().encode(), letters[::-1]}
    if (
        len(letters) > _END + SHORTEST
    ):  # its beginning may be the key's id, as in `ID.SECRET`, which is shown
        found.add(letters[-_END:])
    for one in written:
        found |= {plain(one), meant(one)}
    for before, begin in enumerate((0, 2, 3)):
        encodes = base64.b64encode(bytes(before) + raw).decode()
        core = encodes[
            begin : (before + len(raw)) * 8 // 6
        ]  # the letters that what stands around it does not change
        found |= {plain(core), plain(core.replace("+", "-").replace("/", "_"))}
    return frozenset(form for form in found if len(form) >= SHORTEST)


def blanked(text: str, forms: Sequence[bytes]) -> str:
    """The text with *** for each of the forms, however it is spelled in it."""
    spans: list[tuple[int, int]] = []
    for spelled, begins, ends in [
        _positions(text, rounds) for rounds in ((0, _ROUNDS) if escaped(text) else (0,))
    ]:
        for form in forms:
            at = spelled.find(form)
            while at >= 0:
                spans.append((begins[at], ends[at + len(form) - 1]))
                at = spelled.find(form, at + len(form))
    parts, done = [], 0
    for begin, end in sorted(spans):
        if begin >= done:
            parts += [text[done:begin], "***"]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _positions(text: str, rounds: int) -> tuple[bytes, Sequence[int], Sequence[int]]:
    """The text as it is compared, and where what each of its bytes stands for begins and ends in
    it.
    """
    begins: Sequence[int] = range(len(text))
    ends: Sequence[int] = range(1, len(text) + 1)
    for _ in range(rounds):
        parts: list[str] = []
        new_begins: list[int] = []
        new_ends: list[int] = []
        at = 0
        for found in _ESCAPE.finditer(text):
            begin, end, means = found.start(), found.end(), _character(found)
            parts += [text[at:begin], means]
            new_begins += [*begins[at:begin], *[begins[begin]] * len(means)]
            new_ends += [*ends[at:begin], *[ends[end - 1]] * len(means)]
            at = end
        if not at:
            break
        parts.append(text[at:])
        text, begins, ends = "".join(parts), [*new_begins, *begins[at:]], [*new_ends, *ends[at:]]
    if text.isascii():
        kept = [place for place, char in enumerate(text) if char.isalnum()]
    else:
        kept = [place for place, char in enumerate(text) if char.isalnum() for _ in encoded(char)]
    if not rounds:
        return plain(text), kept, [place + 1 for place in kept]
    return plain(text), [begins[place] for place in kept], [ends[place] for place in kept]
