"""A rotation gets the new key that a person credential."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from rotator.core.action import Ask, Call, Done, Kind, Op
from rotator.core.plan import Key
from rotator.core.state import Rotation
from rotator.engine import identity
from rotator.engine.performed import Performed
from rotator.engine.pool import drive
from rotator.engine.rotation_calls import compare
from rotator.engine.runner import Session
from rotator.errors import OutcomeUnknown, PermanentError, RefusedError, TransientError
from rotator.journal import credentials
from rotator.model import Credential
from rotator.plugin import Destroying, Supplied
from rotator.secret import Secret, is_a_secret
from rotator.usecases.carry_on import carry_on
from rotator.usecases.report import Report, where_keys_are_made
from rotator.usecases.request import Request
from rotator.usecases.runtime import Runtime


class NotTaken(RefusedError):
    """A supplied key that cannot be the new one: nothing was changed, the rotation still waits."""


def supply(runtime: Runtime, name: str, value: Secret, key_id: str, request: Request) -> Report:
    """The new key, made by a person. `key_id` is its id at the provider, '' where it has none.

    Raises NotTaken where it cannot be the new key, or its provider refuses it; RefusedError where
    no rotation waits for one.
    """
    begun = runtime.clock.now()
    runtime.known(name)
    with runtime.session(name) as session:
        action = session.advance() if session.case.unfinished is not None else None
        rotation = session.case.rotation
        if rotation is None or not (isinstance(action, Ask) and action.kind == "supply"):
            raise RefusedError(
                f"{name} does not wait for a key", f"`rotate {name}` begins a rotation"
            )
        key, credential = _supplied(runtime, session, rotation, value, key_id)
        performed = Performed(Done(runtime.clock.now(), key), ((key, credential),))
        session.answer(rotation, Call(Op.GENERATE, "generate", attempt=rotation.attempt), performed)
        report = drive(runtime.clock, carry_on(runtime, session, request))
        return replace(report, seconds=runtime.clock.now() - begun)


def _supplied(
    runtime: Runtime, session: Session, rotation: Rotation, value: Secret, key_id: str
) -> tuple[Key, Credential]:
    """The supplied key, looked at and tried before anything knows of it."""
    provider = session.books.of(rotation.id).provider
    assert isinstance(provider, Supplied)
    try:
        credential = provider.accept(value, _sealed(runtime, session.playbook, rotation.old))
    except PermanentError as error:
        raise _not_taken(session, rotation, provider, error.message, error.hint) from error
    if is_a_secret(key_id):
        raise _not_taken(
            session,
            rotation,
            provider,
            "--id is the key itself",
            "leave it out, or give the id alone",
        )
    credential = replace(credential, id=key_id)
    key = runtime.journal.key_of(credential)
    if (failed := session.tried(rotation, key, credential)) is not None:
        refused = failed.kind is Kind.REJECTED
        why = f"the provider refuses this key: {failed.message}" if refused else failed.message
        hint = "one that was made just now may need a minute" if refused else failed.hint
        raise _not_taken(session, rotation, provider, why, hint)
    _compared(runtime, session, rotation, provider, credential)
    if isinstance(provider, Destroying) and provider.destroys:
        try:
            key_id = identity.id_of_supplied(
                runtime.journal, session.books.of(rotation.id), credential, runtime.clock.now()
            )
        except RefusedError as error:
            raise _not_taken(session, rotation, provider, error.message, error.hint) from error
    credential = replace(credential, id=key_id)
    return replace(key, id=key_id), credential


def _compared(
    runtime: Runtime,
    session: Session,
    rotation: Rotation,
    provider: Supplied,
    new: Credential,
) -> None:
    """Before any store is written: a key of another organisation, or one that sees less, is none.

    Where the old key cannot be asked now, the verification compares them.
    """
    books = session.books.of(rotation.id)
    asked = any(probe.name == "provider" for probe in books.probes)
    old = _sealed(runtime, session.playbook, rotation.old)
    if old is None or not old.values or rotation.forward_only or not asked:
        return
    with contextlib.suppress(TransientError, OutcomeUnknown):  # some are asked by a POST
        try:
            compare(books.provider, old, new)
        except PermanentError as error:
            raise _not_taken(session, rotation, provider, error.message, error.hint) from error


def _not_taken(
    session: Session, rotation: Rotation, provider: Supplied, why: str, hint: str
) -> NotTaken:
    with session.writing() as writing:
        writing.record(rotation, "refused", order="supply", reason=why)
    where = where_keys_are_made(provider)
    ways = f"it still waits: `rotator supply {session.playbook}` (keys are made {where})"
    return NotTaken(why, f"{ways}; {hint}" if hint else ways)


def _sealed(runtime: Runtime, name: str, key: Key | None) -> Credential | None:
    if key is None:
        return None
    with runtime.journal.database.read() as connection:
        return credentials.value_of(connection, runtime.journal.sealer, name, key)
