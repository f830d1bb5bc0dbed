"""Which keys at the provider are orphans of ours: decided by key id and label, never by the absence
of a seal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rotator.core.plan import Key
from rotator.model import KeyRecord, Label


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows: rotations of this installation, and the ids of keys that are
    accounted for.
    """

    installation: str
    playbook: str
    rotations: Collection[str]
    accounted: Collection[str]  # current, pending, in a store, or an open debt
    formerly: Collection[str] = ()  # the playbook's names before

    @property
    def names(self) -> set[str]:
        """As labels bear them."""
        return {name[:60] for name in (self.playbook, *self.formerly)}


def orphans(inventory: Iterable[KeyRecord], known: Known) -> tuple[Key, ...]:
    """Keys whose label names a rotation in this journal and that nothing accounts for.

    A create makes one key: of several with one label others may be a colleague's, as in an account
    that we made.
    """
    records = list(inventory)
    bearers = Counter(record.label for record in records)
    found = []
    for record in records:
        label = Label.parse(record.label) if bearers[record.label] == 1 else None
        if (
            label is None
            or label.installation != known.installation
            or label.playbook not in known.names
        ):
            continue
        if label.rotation in known.rotations and record.id not in known.accounted:
            found.append(Key(record.id, "", record.hint))
    return tuple(found)


def left_by(inventory: Iterable[KeyRecord], label: Label) -> tuple[Key, ...]:
    """Keys that a lost create of exactly this attempt left (recovery by label)."""
    return tuple(
        Key(record.id, "", record.hint) for record in inventory if record.label == label.text
    )


def new_since(
    inventory: Iterable[KeyRecord], before: Collection[str], asked_at: float, slack: float
) -> tuple[tuple[Key, ...], str]:
    """Recovery by difference: the one new key, made since `asked_at` and never used; else why it is
    not certain.
    """
    fresh = [record for record in inventory if record.id not in before]
    if not fresh:
        return (), ""
    if len(fresh) > 1:
        return (
            (),
            (
                f"{len(fresh)} new keys appeared while ours was being made:"
                f" {', '.join(r.id for r in fresh)}"
            ),
        )
    record = fresh[0]
    if record.last_used_at is not None or not record.active:
        return (
            (),
            f"{record.id} appeared while ours was being made, but somebody used or changed it",
        )
    if record.created_at is not None and record.created_at < asked_at - slack:
        return (), f"{record.id} is not in the earlier list but older than our request"
    return (Key(record.id, "", record.hint),), ""


def not_shown(in_force: Iterable[Key], inventory: Iterable[KeyRecord]) -> tuple[Key, ...]:
    """Keys in force that an inventory lacks under their own ids. Then it is not the list of our
    keys that we take it for (another project, other ids), and nothing is destroyed on its word.
    """
    ids = {record.id for record in inventory}
    return tuple(key for key in in_force if key.id not in ids)


def of_later_attempts(inventory: Iterable[KeyRecord], label: Label) -> tuple[Key, ...]:
    """Keys that this rotation made after the attempt that the journal knows of: the journal is
    older than the world.
    """
    found = [(record, Label.parse(record.label)) for record in inventory]
    return tuple(
        Key(record.id, "", record.hint)
        for record, other in found
        if other is not None
        and (other.installation, other.playbook, other.rotation)
        == (label.installation, label.playbook[:60], label.rotation)
        and other.attempt > label.attempt
    )
