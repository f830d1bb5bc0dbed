"""What people order: resume, undo, revoke, confirm, supply, adopt.

Each is carried out, then the work goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ulid import ULID

from rotator.audit.record import rfc3339
from rotator.core import debt as debts_of
from rotator.core.action import Ask, Call, Done, Kind, Op
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.order import Order, Refusal, begin_back, go_back
from rotator.core.plan import Key
from rotator.core.state import Cause, Phase, Rotation
from rotator.core.turn import Unit
from rotator.engine import abandon as engine
from rotator.engine import adopting, today
from rotator.engine.performed import Performed
from rotator.engine.pool import drive
from rotator.engine.runner import Session
from rotator.errors import PermanentError, RefusedError
from rotator.journal import cases, credentials, pauses, versions
from rotator.journal.pauses import Pause
from rotator.model import Credential, Held
from rotator.playbook.carry import kept
from rotator.playbook.playbook import Playbook
from rotator.plugin import Supplied
from rotator.secret import Secret, is_a_secret
from rotator.usecases.report import Report, where_keys_are_made
from rotator.usecases.service import Request, Service


def order(service: Service, name: str, given: Order, request: Request) -> Report:
    """resume, undo, revoke, confirm: on the rotation if one is unfinished, else on its debts; then
    carry on.
    """
    begun = service.clock.now()
    service.known(name)
    with service.session(name) as session:
        rotation = session.case.rotation
        unfinished = (
            rotation if rotation is not None and rotation.phase is not Phase.ENDED else None
        )
        if given is Order.RESUME and request.today:
            report = _as_today(service, session, request)
            return replace(report, rotation=report.rotation if unfinished else None)
        playbook, without = (
            service.playbooks().playbooks.get(name),
            service.without(name) is not None,
        )
        debts = [debt for debt in session.case.debts if debt.open and _meant(debt, request.key)]
        if given is Order.UNDO and unfinished is None:
            return replace(_go_back(service, session, request), seconds=service.clock.now() - begun)
        units: list[Unit] = (
            [unfinished] if unfinished and given in (Order.RESUME, Order.UNDO) else [*debts]
        )
        if unfinished and given is Order.RESUME:  # what is to die at once is tried now, too
            units += [debt for debt in debts if debt.at_once]
        if not units and request.key:
            raise RefusedError(
                f"{name} has no old key {request.key}", f"`rotator keys {name}` lists them"
            )
        again = playbook if given is Order.RESUME and without else None
        if not units and again is None:
            raise RefusedError(
                f"{name} has nothing to {given}", "`rotator status` shows how it stands"
            )
        refusals = [session.order(given, unit, request.reason) for unit in units]
        if refusals and all(refusals) and refusals[0] is not None and again is None:
            raise _refused(name, refusals[0])
        if again is not None:  # the key in force was killed, and the new one could not be made then
            session.begin(again, request.reason, leaked=True, first=True)
            unfinished = session.case.rotation
            units.append(unfinished)  # type: ignore[arg-type]
        report = drive(service.clock, service.carry_on(session, request))
    shown = (
        report.rotation if unfinished in units else None
    )  # an order to old keys is not about the last rotation
    return replace(report, rotation=shown, ordered=True, seconds=service.clock.now() - begun)


def _refused(name: str, refusal: Refusal) -> RefusedError:
    return RefusedError(f"{name}: {refusal.reason}", refusal.hint_for(name))


def _meant(debt: Debt, key: str) -> bool:
    """An order to all old keys is none about those that nobody decided about: they are named."""
    return key in (debt.key.id, debt.key.hint) if key else debt.cause is not Cause.UNDECIDED


def _as_today(service: Service, session: Session, request: Request) -> Report:
    """What is unfinished goes on with stores, restarters and probes as the playbook says today."""
    taken = today.take(session, request.give_up)
    for debt in session.case.debts:
        if debt.open and debt.phase is DebtPhase.HELD and debt.cause is not Cause.UNDECIDED:
            session.order(Order.RESUME, debt, request.reason)
    report = drive(service.clock, service.carry_on(session, request))
    return replace(report, taken=taken, ordered=True)


def _go_back(service: Service, session: Session, request: Request) -> Report:
    """Undo after the pivot: a rotation back to the previous key, whose debt is frozen by it."""
    now, name = service.clock.now(), session.playbook
    playbook = service.playbooks().get(name)
    debt = go_back(session.case.rotation, session.case.debts, now)
    if isinstance(debt, Refusal):
        raise _refused(name, debt)
    rotation = begin_back(str(ULID()), playbook.plan, debt, now)
    session.start(rotation, cases.Beginning(kept(playbook), service.actor.text, request.reason))
    return replace(drive(service.clock, service.carry_on(session, request)), ordered=True)


def pause(service: Service, scope: str, until: float, reason: str) -> Pause:
    """The clock leaves what `scope` covers alone until then.

    Raises RefusedError for a time that is past.
    """
    now = service.clock.now()
    if until <= now:
        raise RefusedError("a pause ends in the future", "say for instance --until 3d")
    if scope.startswith("playbook "):
        service.known(scope.removeprefix("playbook "))
    made = Pause(scope, until, reason, service.actor.text, now)
    with service.journal.database.write() as connection:
        pauses.begin(connection, made)
        service.note(connection, "paused", scope=scope, until=rfc3339(until), reason=reason)
    service.listeners.hand_out()
    return made


def end_pause(service: Service, scope: str, reason: str) -> bool:
    """Whether there was one."""
    with service.journal.database.write() as connection:
        if not pauses.end(connection, scope):
            return False
        service.note(connection, "pause ended", scope=scope, reason=reason)
    service.listeners.hand_out()
    return True


def abandon(service: Service, name: str, key_id: str, reason: str) -> tuple[Key | None, Report]:
    """The unfinished rotation is over; the key in force from now on, and how it stands."""
    service.known(name)
    with service.session(name) as session:
        current = engine.abandon(session, key_id, reason)
        report = drive(service.clock, service.carry_on(session, Request(reason=reason)))
    return current, replace(report, ordered=True)


def waits_for_resume(service: Service, name: str) -> bool:
    """Whether something of this playbook has stopped until a person looks."""
    with service.journal.database.read() as connection:
        case = cases.load(connection, name)
    stuck = case.rotation is not None and case.rotation.phase is Phase.STUCK
    held = any(debt.open and debt.phase is DebtPhase.HELD for debt in case.debts)
    return stuck or held or service.without(name) is not None


class NotTaken(RefusedError):
    """A supplied key that cannot be the new one: nothing was changed, and the rotation waits for
    another.
    """


def supply(service: Service, name: str, value: Secret, key_id: str, request: Request) -> Report:
    """The new key, made by a person.

    Raises NotTaken where it cannot be one, or its provider refuses it.
    """
    begun = service.clock.now()
    service.known(name)
    with service.session(name) as session:
        rotation = session.case.rotation
        action = (
            session.advance()
            if rotation is not None and rotation.phase is not Phase.ENDED
            else None
        )
        rotation = session.case.rotation
        if rotation is None or not (isinstance(action, Ask) and action.kind == "supply"):
            raise RefusedError(
                f"{name} does not wait for a key", f"`rotate {name}` begins a rotation"
            )
        key, made = _supplied(service, session, rotation, value, key_id)
        performed = Performed(Done(service.clock.now(), key), ((key, made),))
        session.answer(rotation, Call(Op.GENERATE, "generate", attempt=rotation.attempt), performed)
        report = drive(service.clock, service.carry_on(session, request))
        return replace(report, seconds=service.clock.now() - begun)


def _supplied(
    service: Service, session: Session, rotation: Rotation, value: Secret, key_id: str
) -> tuple[Key, Credential]:
    """The supplied key, looked at and tried before anything knows of it."""
    provider = session.books.of(rotation.id).provider
    assert isinstance(provider, Supplied)
    try:
        made = provider.accept(value, _sealed(service, session.playbook, rotation.old))
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
    made = Credential(made.values, key_id, made.hint)
    key = service.journal.key_of(made)
    if (failed := session.tried(rotation, key, made)) is not None:
        refused = failed.kind is Kind.REJECTED
        why = f"the provider refuses this key: {failed.message}" if refused else failed.message
        hint = "one that was made just now may need a minute" if refused else failed.hint
        raise _not_taken(session, rotation, provider, why, hint)
    return key, made


def _not_taken(
    session: Session, rotation: Rotation, provider: Supplied, why: str, hint: str
) -> NotTaken:
    with session.writing() as writing:
        writing.record(rotation, "refused", order="supply", reason=why)
    where = where_keys_are_made(provider)
    ways = f"it still waits: `rotator supply {session.playbook}` (keys are made {where})"
    return NotTaken(why, f"{hint}; {ways}" if hint else ways)


def _sealed(service: Service, name: str, key: Key | None) -> Credential | None:
    if key is None:
        return None
    with service.journal.database.read() as connection:
        return credentials.value_of(connection, service.journal.sealer, name, key)


def adopt(service: Service, name: str, key_id: str = "") -> Key:
    """Take the key that the stores hold as the current one. Raises RefusedError where that is not
    one key, or where the provider's list objects to its id.
    """
    playbook = service.playbooks().get(name)
    with service.session(name) as session:
        rotation = session.case.rotation
        if rotation is not None and rotation.phase is not Phase.ENDED:
            raise RefusedError(
                f"{name} has an unfinished rotation", f"`rotate {name}` carries it on"
            )
        try:
            held = {entry.name: entry.store.read() for entry in playbook.stores}
        except PermanentError as error:  # what stands there is no key, or not sure to be one
            raise RefusedError(error.message, error.hint) from error
        credential = _held(
            service, playbook, [found for found in held.values() if found is not None], key_id
        )
        now = service.clock.now()
        known_id, told_by = adopting.chosen(playbook, credential, key_id, now)
        key = (
            replace(service.journal.key_of(credential), id=known_id)
            if credential.values
            else Key(known_id)
        )
        with service.journal.database.write() as connection:
            cases.remember_playbook(connection, name, kept(playbook))
            credentials.remember(connection, name, "adopted", key, now)
            cases.set_current(connection, name, key)
            for store, found in held.items():
                if found is not None and found.values is None:  # a person says that it is there
                    written = found.written_at or now
                    versions.set_last_write(
                        connection, name, store, found.version, key.fingerprint, written
                    )
            fields = {"fingerprint": key.fingerprint, "id_told_by": told_by}
            service.note(connection, "adopted", playbook=name, key=str(key), **fields)
        service.listeners.hand_out()
        _decided(session, key)
        return key


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


def _held(service: Service, playbook: Playbook, held: Sequence[Held], key_id: str) -> Credential:
    """The one key that the stores hold; without a value where none can be read and a person gives
    its id.
    """
    readable = [found for found in held if found.values]
    prints = {service.journal.fingerprint(found.values) for found in readable if found.values}
    if len(prints) == 1:
        return playbook.credential_in(readable[0])
    if not prints and key_id and any(found.values is None for found in held):
        return Credential({})
    raise RefusedError(
        "the stores do not hold one key" if prints else "no store shows the key that it holds",
        "put the same key into each store first"
        if prints or not held
        else "give its id at the provider: `--id ID`",
    )
