"""The note that is left beside a key in a store that has room for one: which key, whose rotation.

Its fields are read by later versions of rotator and by people: their names stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotator.model import Note


def fields(note: Note) -> dict[str, Any]:
    """As JSON has it; `at`: Unix seconds, whole."""
    return {
        "key": note.key_id,
        "installation": note.installation,
        "rotation": note.rotation,
        "at": round(note.at),
    }


def read(fields: Any) -> Note | None:
    """The note of these fields, None where they are none: anybody may write there."""
    if not isinstance(fields, Mapping):
        return None
    try:
        return Note(fields["key"], fields["installation"], fields["rotation"], float(fields["at"]))
    except (KeyError, TypeError, ValueError):
        return None
