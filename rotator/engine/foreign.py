"""Keys at the provider that a rotator made, and this journal does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Finding, KeyRecord, Label, Level
from rotator.playbook.playbook import Playbook


def foreign_ids(journal: Journal, playbook: Playbook, records: Iterable[KeyRecord]) -> set[str]:
    """Ids of keys that a rotator made, but no rotation of this playbook in this journal: it was
    lost, or another's.
    """
    labels = {
        record.id: label for record in records if (label := Label.parse(record.label)) is not None
    }
    with journal.database.read() as connection:
        known = cases.known_rotations(
            connection, playbook.name, [label.rotation for label in labels.values()]
        )
    mine = {
        label
        for label in labels.values()
        if label.installation == journal.installation and label.rotation in known
    }
    return {key_id for key_id, label in labels.items() if label not in mine}


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key at the provider with a label of this playbook, which its journal does not know.

    `rotation` made it, and the journal does not know that one; '' where another key bears the same
    label, and a create makes one key.
    """

    record: KeyRecord
    rotation: str = ""

    @property
    def origin(self) -> str:
        """What is known of it, as a sentence about it goes on."""
        if self.rotation:
            return f"was made by rotation {self.rotation}, which this journal does not know"
        label = self.record.label
        return f"bears the label of another key, {label}: nobody knows who made it"

    def finding(self, playbook: str) -> Finding:
        hint = "was the journal restored from a backup?"
        if not self.rotation:
            revoke = f"rotator revoke {playbook} --key {self.record.id}"
            hint = f"whose is it? If it is nobody's: `{revoke}`"
        return Finding(Level.WARNING, f"{self.record.id} {self.origin}", hint)


def unknown_to_the_journal(
    journal: Journal, playbook: Playbook, records: Iterable[KeyRecord]
) -> list[UnknownKey]:
    """Keys with labels of this very installation and playbook that its journal does not know, and
    never destroys.
    """
    with journal.database.read() as connection:
        seen = credentials.ids(connection, playbook.name)
    every = list(records)
    bearers = Counter(record.label for record in every)
    unseen = [record for record in every if record.id not in seen]
    foreign = foreign_ids(journal, playbook, unseen)
    unknown = []
    for record in unseen:
        label = Label.parse(record.label)
        if label is None or (label.installation, label.playbook) != (
            journal.installation,
            playbook.name[:60],
        ):
            continue
        if record.id in foreign:
            unknown.append(UnknownKey(record, label.rotation))
        elif bearers[record.label] > 1:
            unknown.append(UnknownKey(record))
    return unknown
