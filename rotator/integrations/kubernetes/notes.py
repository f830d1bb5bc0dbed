"""What a Secret says of who wrote our keys last: the note in its annotations, its field managers.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass

from rotator.clients import notes
from rotator.integrations.kubernetes import owners
from rotator.integrations.kubernetes.objects import SecretObject, annotation
from rotator.model import Note

_LONGEST = 63  # characters of an annotation's name, without its prefix


@dataclass(frozen=True, slots=True)
class Notes:
    """Notes about these keys of a Secret."""

    keys: tuple[str, ...]

    @property
    def manager(self) -> str:
        """The field manager by which we write them.

        One for each store: so a neighbour's rotation in the same Secret does not look like ours.
        """
        return f"rotator-{'-'.join(self.keys)}"[:128]

    @property
    def annotation(self) -> str:
        """Where the note stands."""
        key = self.keys[0]
        if len(key) > _LONGEST:
            key = hashlib.sha256(key.encode()).hexdigest()[:32]
        return f"rotator/{key}"

    def text(self, note: Note) -> str:
        """Another one at each write, so that each write makes another version."""
        return json.dumps({**notes.fields(note), "write": uuid.uuid4().hex})

    def read(self, secret: SecretObject) -> Note | None:
        """The note that we left, if nobody else wrote the keys since."""
        managers = {manager for manager, _ in owners.of_keys(secret, self.keys)}
        if self.manager not in managers:
            return None
        try:
            return notes.read(json.loads(annotation(secret, self.annotation)))
        except ValueError:
            return None

    def version(self, secret: SecretObject) -> str:
        """Another one after each write of ours, and after each change of our keys by anybody."""
        wrote = sorted((name, at or 0.0) for name, at in owners.of_keys(secret, self.keys))
        written = annotation(secret, self.annotation)
        facts = json.dumps([secret["metadata"].get("uid"), wrote, written])
        return hashlib.sha256(facts.encode()).hexdigest()[:16]
