"""The key that the stores hold becomes the one in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rotator.core import debt as debts_of
from rotator.core.plan import Key
from rotator.engine import adopting
from rotator.engine.runner import Session
from rotator.errors import PermanentError, RefusedError
from rotator.journal import cases, credentials, versions
from rotator.model import Credential, Held
from rotator.playbook.carry import kept
from rotator.playbook.playbook import Playbook
from rotator.usecases.runtime import Runtime


def adopt(runtime: Runtime, name: str, key_id: str = "") -> Key:
    """Take the key that the stores hold as the one in force.

    Raises RefusedError where that is not one key, or where the provider's list objects to its id.
    """
    playbook = runtime.playbooks().get(name)
    with runtime.session(name) as session:
        if session.case.unfinished is not None:
            raise RefusedError(
                f"{name} has an unfinished rotation", f"`rotate {name}` carries it on"
            )
        contents = _contents(playbook)
        credential = _credential(runtime, playbook, list(contents.values()), key_id)
        id_, told_by = adopting.chosen(playbook, credential, key_id, runtime.clock.now())
        key = Key(id_)
        if credential.values:
            key = replace(runtime.journal.key_of(credential), id=id_)
        _remember(runtime, playbook, key, told_by, contents)
        _decided(session, key)
        return key


def _contents(playbook: Playbook) -> dict[str, Held]:
    """What each store holds, without those that hold nothing."""
    try:
        contents = {entry.name: entry.store.read() for entry in playbook.stores}
    except PermanentError as error:  # what stands there is no key, or not sure to be one
        raise RefusedError(error.message, error.hint) from error
    return {store: content for store, content in contents.items() if content is not None}


def _remember(
    runtime: Runtime, playbook: Playbook, key: Key, told_by: str, contents: Mapping[str, Held]
) -> None:
    now, name = runtime.clock.now(), playbook.name
    with runtime.journal.database.write() as connection:
        cases.remember_playbook(connection, name, kept(playbook))
        credentials.remember(connection, name, "adopted", key, now)
        cases.set_current(connection, name, key)
        for store, content in contents.items():
            if content.values is None:  # a person says that it is there
                at = content.written_at or now
                versions.set_last_write(
                    connection, name, store, content.version, key.fingerprint, at
                )
        fields = {"fingerprint": key.fingerprint, "id_told_by": told_by}
        runtime.note(connection, "adopted", playbook=name, key=str(key), **fields)
    runtime.listeners.hand_out()


def _decided(session: Session, current: Key) -> None:
    """It is in force, so it is no old key, nor one that nobody decided about."""
    mine = [
        debt
        for debt in session.case.debts
        if debt.open and debt.key.same(current) and not debt.at_once
    ]
    if mine:
        with session.writing() as writing:
            for debt in mine:
                writing.record(debt, "decision", decision="a person adopted it: it is in force")
                writing.put_debt(debt, debts_of.void(debt))


def _credential(
    runtime: Runtime, playbook: Playbook, contents: Sequence[Held], key_id: str
) -> Credential:
    """The one key that the stores hold; without a value where none can be read and a person gives
    its id.
    """
    readable = [content for content in contents if content.values]
    prints = {runtime.journal.fingerprint(item.values) for item in readable if item.values}
    if len(prints) == 1:
        return playbook.credential_in(readable[0])
    if not prints and key_id and any(content.values is None for content in contents):
        return Credential({})
    raise RefusedError(
        "the stores do not hold one key" if prints else "no store shows the key that it holds",
        "put the same key into each store first"
        if prints or not contents
        else "give its id at the provider: `--id ID`",
    )
