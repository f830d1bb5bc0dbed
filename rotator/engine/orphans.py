"""Keys at the provider that this installation made and nobody accounts for."""

from __future__ import annotations

from rotator.core import sweep
from rotator.core.state import Key
from rotator.journal import cases, credentials
from rotator.journal.cases import Case
from rotator.journal.journal import Journal
from rotator.model import Label, Recovery
from rotator.playbook.playbook import Playbook


def find_orphans(journal: Journal, playbook: Playbook, case: Case) -> tuple[Key, ...]:
    """Keys that this installation made for this playbook and that nothing accounts for.

    Nothing, if the provider cannot list by label, or any store cannot say which key it holds.
    """
    if playbook.provider.recovery is not Recovery.LABEL:
        return ()
    rotation, accounted = case.rotation, {debt.key.id for debt in case.debts if debt.open}
    unfinished = (rotation.old, rotation.new) if rotation is not None and rotation.outcome is None else ()
    accounted |= {key.id for key in unfinished if key}
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
        accounted |= {current.id} if current else set()
        for entry in playbook.stores:
            held = entry.store.read()
            if held is None:
                continue
            known = (
                credentials.known(connection, playbook.name, journal.fingerprint(held.values)) if held.values else None
            )
            if known is None:
                return ()
            accounted.add(known.id)
    listed = playbook.provider.inventory()
    labels = [label.rotation for record in listed if (label := Label.parse(record.label)) is not None]
    with journal.database.read() as connection:
        rotations = cases.known_rotations(connection, playbook.name, labels)
    return sweep.orphans(listed, sweep.Known(journal.installation, playbook.name, rotations, accounted))
