"""Keys at the provider that this installation made and nobody accounts for."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.core import sweep
from rotator.core.plan import Key
from rotator.engine import recovery
from rotator.errors import PermanentError
from rotator.journal import cases, codec, credentials, naming
from rotator.journal.cases import Case
from rotator.journal.journal import Journal
from rotator.model import KeyRecord, Label, Recovery
from rotator.playbook.playbook import Playbook


def find_orphans(journal: Journal, playbook: Playbook, case: Case) -> tuple[Key, ...]:
    """Keys that this installation made for this playbook and that nothing accounts for.

    Nothing, if the provider cannot list by label, or any store cannot say which key it holds.
    Raises PermanentError if the list does not show the keys in force: an "orphan" may then be one
    of them under another id.
    """
    if playbook.provider.recovery is not Recovery.LABEL:
        return ()
    rotation, debts = case.rotation, [debt.key for debt in case.debts if debt.open]
    in_force: list[Key] = []
    if rotation is not None and rotation.outcome is None:
        in_force += [key for key in (rotation.old, rotation.new) if key is not None]
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
        in_force += [current] if current is not None else []
        for entry in playbook.stores:
            held = entry.store.read()
            if held is None:
                continue
            known = (
                credentials.known(connection, playbook.name, journal.fingerprint(held.values))
                if held.values
                else None
            )
            if known is None:
                return ()
            in_force.append(known)
    listed = playbook.provider.inventory()
    labels = [
        label.rotation for record in listed if (label := Label.parse(record.label)) is not None
    ]
    with journal.database.read() as connection:
        rotations = cases.known_rotations(connection, playbook.name, labels)
        formerly = naming.former_names(connection, playbook.name)
    accounted = {key.id for key in (*in_force, *debts)}
    made = _made_otherwise(journal, listed)
    unknown = [record for record in listed if record.id not in made]
    found = sweep.orphans(
        unknown, sweep.Known(journal.installation, playbook.name, rotations, accounted, formerly)
    )
    if found and (hidden := recovery.not_shown(journal, playbook, dict.fromkeys(in_force), listed)):
        raise PermanentError(
            f"nothing is swept: the provider's list does not show {', '.join(map(str, hidden))},"
            " which is in force",
            "is it the list of the right project, and does `each.id` name the ids by which keys are"
            " revoked?",
        )
    return found


def _made_otherwise(journal: Journal, listed: Sequence[KeyRecord]) -> set[str]:
    """Ids of keys that bear the label of a create of which the key is known, and is another one.

    A create makes one key: this one is somebody else's, as in an account that a create of ours
    made.
    """
    found = set()
    for record in listed:
        label = Label.parse(record.label)
        if label is None:
            continue
        with journal.database.read() as connection:
            row = cases.find_rotation(connection, label.rotation)
        rotation = codec.rotation_of(row["state"]) if row else None
        made = (
            rotation.new.id
            if rotation and rotation.new and rotation.attempt == label.attempt
            else ""
        )
        if made and made != record.id:
            found.add(record.id)
    return found
