"""The syntax of .env files: find a variable's value and replace it, byte for byte leaving everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rotator.errors import PermanentError

# Like bash, docker compose and python-dotenv: optional `export`, quotes, a comment after unquoted white space.
_ASSIGNMENT = re.compile(
    rb"""(?mx)
    ^(?P<head>[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*)
    (?:
        '(?P<single>[^']*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | (?P<bare>[^\r\n]*?)
    )
    (?P<tail>[ \t]*(?:(?<=[ \t])\#[^\r\n]*)?)(?=\r?$|\r?\n|\Z)
    """
)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_PLAIN = re.compile(r"[A-Za-z0-9_.+/=:@%,~-]*")


@dataclass(frozen=True, slots=True)
class Found:
    """A variable in a file: where its value stands, how it is quoted, and what it is."""

    start: int
    end: int
    quote: str
    value: str


def find(content: bytes, name: str) -> list[Found]:
    """Every assignment of `name`; the last one is in force."""
    return [
        _found(match)
        for match in _ASSIGNMENT.finditer(content.removeprefix(b"\xef\xbb\xbf"))
        if match["name"] == name.encode()
    ]


def _found(match: re.Match[bytes]) -> Found:
    for group, quote in (("single", "'"), ("double", '"'), ("bare", "")):
        text = match[group]
        if text is not None:
            value = _unescape(text) if quote == '"' else text
            edge = 1 if quote else 0
            start, end = match.start(group) - edge, match.end(group) + edge
            if not quote and not text:  # nothing yet: right after the sign, so that a comment stays a comment
                start = end = match.start() + len(match["head"].rstrip(b" \t"))
            return Found(start, end, quote, value.decode(errors="surrogateescape"))
    raise AssertionError("one of the groups always matches")


def _unescape(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.S)


def get(content: bytes, name: str) -> str | None:
    """The value in force, or None."""
    found = find(content, name)
    return found[-1].value if found else None


def put(content: bytes, name: str, value: str) -> bytes:
    """The content with `name` set: every assignment of it replaced in its own quoting, or one added at the end."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise PermanentError(f"a value for {name} with a line break does not fit into a .env file")
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    body = content[len(mark) :]
    found = find(body, name)
    if not found:
        return content + _new_line(content, name, value)
    for place in reversed(found):
        body = body[: place.start] + _quoted(value, place.quote).encode(errors="surrogateescape") + body[place.end :]
    return mark + body


def _new_line(content: bytes, name: str, value: str) -> bytes:
    end = b"\r\n" if b"\r\n" in content else b"\n"
    gap = b"" if not content or content.endswith(b"\n") else end
    return gap + f"{name}={_quoted(value, '')}".encode() + end


def _quoted(value: str, quote: str) -> str:
    """The value in this quoting, or in the next one that can hold it."""
    if quote == "" and _PLAIN.fullmatch(value):
        return value
    if quote in ("", "'") and "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'
