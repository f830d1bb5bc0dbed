"""The key that a person adopts: its id, and who says so."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.core import identity as core
from rotator.engine.identity import accepted, adopt_hint, listed
from rotator.errors import RefusedError
from rotator.model import Credential, KeyRecord
from rotator.playbook.playbook import Playbook
from rotator.secret import hint_of


def chosen(playbook: Playbook, credential: Credential, key_id: str, now: float) -> tuple[str, str]:
    """The id of the key that a person adopts, and who says so.

    `key_id` is what the person said, or ''; then `credential` has its value.
    A label of a lost journal's rotation is no objection: adopting is the way out of that. Raises
    RefusedError where the provider's list contradicts.
    """
    beside = credential.id
    if key_id and beside and key_id != beside:
        raise RefusedError(
            f"the stores hold {beside}, not {key_id}",
            "leave --id out, or put the right key into each",
        )
    if not playbook.provider.can_list:
        return (
            (beside, "what stands beside its value")
            if beside
            else (key_id, "a person" if key_id else "nobody")
        )
    records = playbook.provider.inventory()
    if key_id or beside:
        _refuse_contradiction(playbook, credential, key_id or beside, records)
        return (beside, "what stands beside its value") if beside else (key_id, "a person")
    literal = playbook.provider.literal_prefix(credential.primary)
    taken = accepted(playbook, credential)
    match = core.identify(records, credential.primary.reveal(), literal, now, taken)
    if isinstance(match, core.Refusal):
        raise RefusedError(
            f"it is not sure which key the stores hold: {match.why}{listed(match.candidates)}",
            adopt_hint(playbook),
        )
    return match.record.id, "the provider's list"


def _refuse_contradiction(
    playbook: Playbook, credential: Credential, key_id: str, records: Iterable[KeyRecord]
) -> None:
    records = tuple(records)
    record = next((record for record in records if record.id == key_id), None)
    if record is None:
        raise RefusedError(
            f"the provider does not list {key_id}{listed(records)}",
            "is it a key of another project? Give a listed id",
        )
    if not credential.values or credential.id:
        return
    value = credential.primary.reveal()
    if core.agreement(record, value, playbook.provider.literal_prefix(credential.primary)) is None:
        raise RefusedError(
            f"{key_id} is another key: the provider shows it as {record.hint}, the stores hold"
            f" {hint_of(value)}",
            "leave --id out, or put the right key into each store: `rotator adopt"
            f" {playbook.name}`",
        )
