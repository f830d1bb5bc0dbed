"""What somebody else's answer says, read without ever raising: a field that is no use is none, the
key is not lost.

Only two things are asked for strictly: the secret of a new key, and the id of a listed one.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import jmespath

from rotator.errors import PermanentError
from rotator.model import KeyRecord
from rotator.secret import is_a_secret

# Of the year 9999: what is larger is told in milliseconds, micro- or nanoseconds
_LAST_SECOND = 253_402_300_799
_NO = frozenset(
    {"false", "no", "off", "0", "none", "null", "inactive", "disabled", "deactivated", "revoked"}
)
_NO |= {"expired", "deleted", "archived", "suspended", "blocked"}
_FORBIDDEN = frozenset(
    {"Cc", "Cs", "Zl", "Zp"}
)  # control characters, lone surrogates, separators of lines
_LONGEST_ID = 500
_DAY = 86_400.0
_NEVER = frozenset({"", "never", "none", "null", "n/a", "-", "false"})


def pick(path: str, data: Any) -> Any:
    """What a JMESPath finds; None for an empty path, and where the data is of a kind that the path
    does not fit.
    """
    if not path:
        return None
    try:
        return jmespath.search(path, data)
    except (
        jmespath.exceptions.JMESPathError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ):
        return None


def has(path: str, data: Any) -> bool:
    """Whether the field that a path leads to is there at all, null or not.

    Paths of more than names: nobody knows.
    """
    *above, last = path.split(".")
    if not all(re.fullmatch(r"\w+", name) for name in (*above, last)):
        return True
    inside = pick(".".join(above), data) if above else data
    return isinstance(inside, Mapping) and last in inside


def text(value: Any) -> str:
    """A text or a whole number as text; '' for anything else (null, true, a list, …)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**100 else ""
    return value if isinstance(value, str) else ""


def told(value: Any) -> str:
    """A text for people, as a label or a hint; what cannot be shown becomes U+FFFD."""
    return "".join(
        "\ufffd" if unicodedata.category(char) in _FORBIDDEN else char for char in text(value)
    )


def key_id(value: Any) -> str:
    """A key's id; '' where it cannot be one."""
    found = text(value)
    return "" if unfit(found) else found


def unfit(part: str) -> str:
    """Why a text cannot be an id, nor any other part of an address, or ''.

    '.' and '..' are folded away by every client of HTTP: DELETE of the key '..' would be one of
    what holds the keys. Within a longer text they are encoded, but proxies decode and fold them.
    """
    if not part.strip():
        return "empty"
    if {".", ".."} & set(re.split(r"[/\\]", part)):
        return f"'{part}', which means another address"
    if is_a_secret(part):  # it would be shown, and kept, as ids are
        return "a key itself"
    if any(char == "\ufffd" or unicodedata.category(char) in _FORBIDDEN for char in part):
        return "a text with control characters, or some that are none"
    return "longer than an id is" if len(part) > _LONGEST_ID else ""


def no_header(secret: str) -> str:
    """Why a secret cannot stand in a header, or '': so it cannot be a key that consumers send (RFC
    9110, 5.5).
    """
    if not secret:
        return "it is empty"
    if any(char.isspace() for char in secret):
        return "there are blanks or line breaks in it"
    if not secret.isascii():
        return "there are characters in it that are not ASCII"
    return "" if secret.isprintable() else "there are control characters in it"


def moment(value: Any) -> float | None:
    """Unix seconds of a date as providers tell it; None where there is none, or one that nobody
    understands.

    ISO 8601, RFC 2822, Unix time in seconds to nanoseconds as a number or a text, a datetime; naive
    = UTC. A date of the year 1 or 1970 is how programs write "never".
    """
    try:
        found = _moment(value)
    except (ValueError, TypeError, ArithmeticError, IndexError, OSError):
        return None
    return found if found is not None and 0 < found <= _LAST_SECOND else None


def _moment(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, (int, float)):
        return _seconds(float(value))
    if not isinstance(value, str):
        return None
    words = value.strip()
    if re.fullmatch(r"-?[0-9]+(\.[0-9]*)?", words) and len(words) != len("20261101"):
        return _seconds(float(words))
    try:
        return _moment(datetime.fromisoformat(words.removesuffix(" UTC")))
    except ValueError:
        return _moment(parsedate_to_datetime(words))


def _seconds(number: float) -> float:
    for _ in (
        "milli",
        "micro",
        "nano",
    ):  # the largest of seconds is 1978 in milliseconds: they cannot be confused
        number = number / 1000 if number > _LAST_SECOND else number
    return number


def last_use(value: Any) -> float | None:
    """When a key was last used, at the latest. A day alone may mean its last second; a text that
    nobody understands is 'just now': it may be in use this very second.
    """
    if no_date(value):
        return time.time()
    found = moment(value)
    day_alone = (
        isinstance(value, str)
        and re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", value.strip()) is not None
    )
    return found + _DAY if found is not None and day_alone else found


def no_date(value: Any) -> bool:
    """Whether a field says something, but nothing that is understood as a date or as "never"."""
    if value is None or value is False or moment(value) is not None:
        return False
    if isinstance(value, str) and value.strip().lower() in _NEVER:
        return False
    try:  # of 1970 or before: zero in some language
        found = _moment(value)
    except (ValueError, TypeError, ArithmeticError, IndexError, OSError):
        return not (isinstance(value, str) and value.startswith("0001-01-01"))
    return found is None or found > 0


def flag(value: Any) -> bool:
    """Whether a listed key is active.

    A text may say so, too; what says nothing leaves a key alive.
    """
    if isinstance(value, str):
        return value.strip().lower() not in _NO
    return True if value is None else bool(value)


def plain(value: Any) -> Any:
    """The same data with 'true' and 'false' as what they mean, so that `!disabled` is right of a
    text as well.
    """
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    if isinstance(value, Mapping):
        return {name: plain(found) for name, found in value.items()}
    return [plain(found) for found in value] if isinstance(value, list) else value


def distinct(records: Iterable[KeyRecord]) -> list[KeyRecord]:
    """Each key once: a page may repeat what moved while it was read.

    Raises PermanentError where two disagree.
    """
    found: dict[str, KeyRecord] = {}
    for record in records:
        first = found.setdefault(record.id, record)
        if (first.label, first.hint) != (record.label, record.hint):
            raise PermanentError(
                f"the listing shows the key {record.id} twice, with different labels or hints",
                "does the path of the id (each.id) lead to the key's own, not to its owner's?",
            )
        used = max(filter(None, (first.last_used_at, record.last_used_at)), default=None)
        found[record.id] = replace(first, last_used_at=used, active=first.active or record.active)
    return list(found.values())
