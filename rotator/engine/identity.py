"""Which key the stores hold: known to the journal, told by its provider, or refused with those that
it could be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from rotator.core import identity
from rotator.core.plan import Key
from rotator.engine.foreign import foreign_ids
from rotator.errors import PluginError, RefusedError, Rejected, Unsupported
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Credential, Finding, KeyRecord, Level
from rotator.playbook.playbook import Playbook
from rotator.plugin import Told
from rotator.secret import Secret

Listing = Callable[[], list[KeyRecord]]

ADOPT = "say which key it is: `rotator adopt {name}` (its id: `rotator adopt {name} --id ID`)"
_ADOPT_ID = "say which key it is: `rotator adopt {name} --id ID`"
_RESTORED = "was the journal lost, or restored from a backup? "
_REFUSALS = 3  # in a row: one may be an edge that lags
_NAMED = 6  # candidates in a message


def accepted(playbook: Playbook, credential: Credential) -> bool | None:
    """Whether the provider accepts the key now; None where it cannot be asked.

    Raises what else the probe raises.
    """
    for _ in range(_REFUSALS):
        try:
            playbook.provider.probe(credential)
        except Rejected:
            continue
        except Unsupported:
            return None
        return True
    return False


def identify(
    journal: Journal,
    playbook: Playbook,
    credential: Credential,
    now: float,
    listing: Listing,
    leaked: bool = False,
) -> tuple[Key, bool | None]:
    """The key that the stores hold with its id at the provider, and whether that accepts it.

    Raises RefusedError where it is not sure which key it is; unless it `leaked`, where another
    playbook has it, too.
    """
    key = journal.key_of(credential)
    if not leaked:
        _refuse_shared(journal, playbook, key)
    with journal.database.read() as connection:
        known = credentials.known(connection, playbook.name, key.fingerprint)
        known = known or (credentials.anywhere(connection, key.fingerprint) if leaked else None)
        current = cases.current_key(connection, playbook.name)
    if current is not None and current.id and current.fingerprint == key.fingerprint:
        known = current  # a person may have adopted it anew, with another id
    if known is not None:
        key = replace(known, id=known.id or key.id)
        _refuse_another_hint(playbook, key, credential.primary, listing)
        return key, accepted(playbook, replace(credential, id=key.id))
    if wrong := playbook.provider.looks_right(credential.primary):
        raise RefusedError(
            f"the stores hold something else than a key ({key.hint}): {wrong}",
            "is the path right, and the variable or field in it? If there never was a key, empty"
            " it, and say `create: true` in the store's entry",
        )
    taken = accepted(playbook, credential)
    if key.id:
        return _told_by_itself(journal, playbook, key, taken, listing), taken
    if not playbook.provider.can_list:
        return key, taken
    if taken and (told := _told_id(playbook, credential)):
        key = replace(key, id=told)
        return _told_by_itself(journal, playbook, key, taken, listing), taken
    return _in_the_list(journal, playbook, key, credential.primary, taken, now, listing), taken


def _told_id(playbook: Playbook, credential: Credential) -> str:
    """What the key itself says that its id is; '' where it cannot be asked."""
    provider = playbook.provider
    return provider.id_told(credential) if isinstance(provider, Told) else ""


def id_of_supplied(journal: Journal, playbook: Playbook, credential: Credential, now: float) -> str:
    """The id at its provider of a key that a person made: by it rotator destroys the key one day.

    Raises RefusedError where it is not sure which of the listed keys it is, and where a person says
    another one's, or it has the id of a key with another value: that one's end would be its own.
    """
    found = credential.id or _id_found(playbook, credential, now)
    if found and credential.id:
        _refuse_id_of_another(playbook, credential)
    with journal.database.read() as connection:
        fingerprint = journal.fingerprint(credential.values)
        others = credentials.ids_of_others(connection, playbook.name, fingerprint)
    if found in others:
        raise RefusedError(
            f"{found} is the id of another key of this playbook, which has another value",
            "a key whose value was replaced in place dies with the old one: make one beside it, and"
            " give its own id",
        )
    return found


def _refuse_id_of_another(playbook: Playbook, credential: Credential) -> None:
    """Raises RefusedError where the provider shows the key with this id as another one. What cannot
    be asked now says nothing against it.
    """
    provider, value = playbook.provider, credential.primary
    try:
        told = _told_id(playbook, credential)
        records = provider.inventory() if provider.can_list else []
    except PluginError:
        return
    if told and told != credential.id:
        raise RefusedError(f"its id is {told}, not {credential.id}", "leave --id out")
    shown = next((record for record in records if record.id == credential.id), None)
    literal = provider.literal_prefix(value)
    if shown is not None and identity.agreement(shown, value.reveal(), literal) is None:
        raise RefusedError(
            f"the provider shows {credential.id} as {shown.hint}, which is another key",
            "leave --id out, or give the id of this one",
        )


def _id_found(playbook: Playbook, credential: Credential, now: float) -> str:
    """What the key or the provider's list tells."""
    provider = playbook.provider
    if told := _told_id(playbook, credential):
        return told
    if not provider.can_list:
        return ""
    literal = provider.literal_prefix(credential.primary)
    match = identity.identify(
        provider.inventory(), credential.primary.reveal(), literal, now, accepted=True
    )
    if isinstance(match, identity.Match):
        return match.record.id
    raise RefusedError(
        f"it is not sure which key at the provider this is: {match.why}{listed(match.candidates)}",
        f"one that was made just now may be listed later; else `rotator supply {playbook.name} --id"
        " ID`",
    )


def _refuse_another_hint(playbook: Playbook, key: Key, value: Secret, listing: Listing) -> None:
    """An id that a person gave, or that was known before the provider's list could be asked."""
    try:
        record = next((record for record in listing() if key.id and record.id == key.id), None)
    except PluginError:  # it cannot list, or not now: whoever needs the list says so
        return
    if record is None:
        return
    if identity.agreement(record, value.reveal(), playbook.provider.literal_prefix(value)) is None:
        raise RefusedError(
            f"the journal knows {key.hint} as {key.id}, but the provider shows that one as"
            f" {record.hint}",
            _ADOPT_ID.format(name=playbook.name),
        )


def _in_the_list(
    journal: Journal,
    playbook: Playbook,
    key: Key,
    value: Secret,
    taken: bool | None,
    now: float,
    listing: Listing,
) -> Key:
    literal, foreign = (
        playbook.provider.literal_prefix(value),
        foreign_ids(journal, playbook, listing()),
    )
    match = identity.identify(listing(), value.reveal(), literal, now, taken, foreign)
    if isinstance(match, identity.Match):
        return replace(key, id=match.record.id)
    if taken is False and not match.candidates and _tells_its_keys(playbook):
        return key  # dead and gone: no other key can be taken for it
    restored = _RESTORED if any(record.id in foreign for record in match.candidates) else ""
    raise RefusedError(
        f"it is not sure which key the stores hold ({key.hint}):"
        f" {match.why}{listed(match.candidates)}",
        restored + adopt_hint(playbook),
    )


def adopt_hint(playbook: Playbook) -> str:
    return (
        "is it a key of another project or account? This list has none of those; else "
        + _ADOPT_ID.format(name=playbook.name)
    )


def listed(records: Iterable[KeyRecord]) -> str:
    records = tuple(records)
    more = f"; and {len(records) - _NAMED} more" if len(records) > _NAMED else ""
    return ": " + "; ".join(map(described, records[:_NAMED])) + more if records else ""


def described(record: KeyRecord) -> str:
    """A listed key as a person recognises it."""
    used = f"last used {_day(record.last_used_at)}" if record.last_used_at else "never used"
    parts = [
        record.hint,
        f"made {_day(record.created_at)}",
        used,
        "" if record.active else "inactive",
    ]
    label = f"'{record.label}'" if record.label else ""
    return f"{record.id} ({', '.join(filter(None, [*parts, label]))})"


def _day(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d") if at else "nobody knows when"


def _tells_its_keys(playbook: Playbook) -> bool:
    """Whether the provider would say so if this were no key of its own, but a password that its
    probe refuses, too.
    """
    return bool(playbook.provider.looks_right(Secret(" ")))


def _told_by_itself(
    journal: Journal, playbook: Playbook, key: Key, taken: bool | None, listing: Listing
) -> Key:
    """What stands beside the value tells its id: it must be listed, unless the key is dead."""
    record = next((record for record in listing() if record.id == key.id), None)
    if record is None and taken is False:
        return key
    if record is None:
        raise RefusedError(
            f"the stores hold {key.id}, which the provider does not list",
            "is it another user's key?",
        )
    if taken is False and record.active:
        raise RefusedError(
            f"the stores hold {key.id}, which the provider lists as active, with a value that it"
            " refuses",
            "are id and value of one key? Put both of them into each store",
        )
    if foreign_ids(journal, playbook, [record]):
        raise RefusedError(
            f"the stores hold {record.id}, made by a rotation that this journal does not know",
            _RESTORED + ADOPT.format(name=playbook.name),
        )
    return key


def _refuse_shared(journal: Journal, playbook: Playbook, key: Key) -> None:
    with journal.database.read() as connection:
        other = credentials.known_anywhere(connection, key.fingerprint, playbook.name)
    if other:
        raise RefusedError(
            f"the playbook {other} has the same key",
            f"was it renamed? `rotator rename {other} {playbook.name}`; else give each its own",
        )


def shared(journal: Journal, playbook: Playbook, key: Key) -> list[Finding]:
    """A leaked key that another playbook has, too, is replaced all the same; but that one's other
    keys are not.
    """
    with journal.database.read() as connection:
        other = (
            credentials.known_anywhere(connection, key.fingerprint, playbook.name)
            if key.fingerprint
            else ""
        )
    text = f"the playbook {other} has the same key: what it has besides, it keeps"
    hint = (
        f"`rotator keys {other}`; `rotate {other} --compromised` ends those, too. Was it renamed?"
    )
    return [Finding(Level.WARNING, text, hint)] if other else []
