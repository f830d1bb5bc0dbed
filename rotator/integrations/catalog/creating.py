"""How a catalog provider makes a key: at once or in steps, and with what the old one has."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rotator.clients import http, reading
from rotator.errors import (
    OutcomeUnknown,
    PermanentError,
    TransientError,
    Unreadable,
    Unsupported,
)
from rotator.integrations.catalog import inherited, listing, templates
from rotator.integrations.catalog.api import CatalogApi, Sent
from rotator.integrations.catalog.entry import END, KEY, LIFETIME, Create
from rotator.integrations.catalog.request import RequestTemplate
from rotator.model import (
    Credential,
    Finding,
    KeyRecord,
    Label,
    NotYet,
)
from rotator.plugin import ProviderDefaults, values_of
from rotator.secret import hint_of, redact

_SOON = 2.0  # seconds until a create that is under way is asked for again


@dataclass(frozen=True, kw_only=True)
class CatalogCreates(CatalogApi, ProviderDefaults):
    """Makes keys; what else a provider does is in `provider`."""

    listed: dict[str, KeyRecord] = field(
        default_factory=dict, init=False, repr=False, compare=False, metadata={"hidden": True}
    )

    @property
    def supplied(self) -> bool:
        return not self.entry.makes

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        """A new key. Raises Unreadable where one may have been made that nobody can use."""
        create = self._create()
        longest = self.entry.longest_label
        if longest and len(label.text) > longest:
            raise PermanentError(
                f"{self.entry.name} takes names of {longest} characters, and {label.text} has"
                f" {len(label.text)}",
                "give the playbook a shorter name (`rotator rename`)",
            )
        old = self._old(like) if inherited.asked(create) else None
        given = {"label": label.text, **inherited.values(self.entry, old, time.time(), self._life)}
        if lacking := inherited.lacking(create, {**self._values(), **given}):
            raise PermanentError(*inherited.needed(self.entry, lacking))
        answer = self._sent(create.request, given, like)
        if create.wait is not None:
            handle = reading.text(reading.pick(create.wait.handle, templates.data_of(answer)))
            if not handle:
                raise Unreadable(
                    f"{self.entry.name} answered a create without `{create.wait.handle}`"
                    " (create.wait.handle)"
                )
            return NotYet(_SOON, handle)
        try:
            return self._made(create, answer, given)
        except TransientError as error:  # asked again, the create would make another key
            raise OutcomeUnknown(error.message, error.hint) from error

    def proceed(self, label: Label, like: Credential | None, handle: str) -> Credential | NotYet:
        """Goes on with a create that was not done at once.

        Raises Unreadable where it failed, or a key was made that nobody can use.
        """
        create = self._create()
        if create.wait is None:
            raise Unsupported(f"{self.entry.name} makes keys at once")
        with _unclear():
            answer = self._call(create.wait.request, {"handle": handle}, Sent(key=like))
            data = answer.json()
        if failed := reading.pick(create.wait.failed, data):
            raise Unreadable(
                f"{self.entry.name} could not make the key: {redact(reading.told(failed))[:200]}",
                "a key that it made all the same is looked for",
            )
        if not reading.pick(create.wait.done, data):
            return NotYet(_SOON, handle)
        return self._made(create, answer, {})

    def _sent(
        self, request: RequestTemplate, given: Mapping[str, Any], key: Credential | None
    ) -> http.Answer:
        """A request whose answer holds a new key."""
        try:
            sent, answer = self._ask(request, given, Sent(key=key, makes_key=True))
        except http.Redirected as error:
            raise Unreadable(error.message, error.hint) from error
        return templates.check_create(self.entry, sent, answer, self._who)

    def _made(self, create: Create, answer: http.Answer, given: Mapping[str, Any]) -> Credential:
        """The key in the answer, or in the one that shows it by its id."""
        paths, data = create.answer, templates.data_of(answer)
        key_id = reading.key_id(reading.pick(paths.id, data))
        shown = answer
        if create.then is not None:
            with _unclear():
                shown = self._sent(create.then.request, {"id": key_id}, None)
        path = create.then.secret if create.then is not None else paths.secret
        secret = templates.secret_in(self.entry, path, shown)
        return Credential(
            values={KEY: secret},
            id=key_id,
            hint=hint_of(secret.reveal()),
            created_at=reading.moment(reading.pick(paths.created, data)),
            expires_at=reading.moment(reading.pick(paths.expires, data))
            or self._asked_end(create, given),
        )

    @staticmethod
    def _asked_end(create: Create, given: Mapping[str, Any]) -> float | None:
        """The end that was asked for, where the answer does not repeat it."""
        asked = any(name.startswith(END) for name in inherited.asked(create))
        end: float | None = given.get(f"{END}unix") if asked else None
        return end

    def _create(self) -> Create:
        if self.supplied:
            raise Unsupported("a person makes this key", "`rotator supply NAME`")
        create = next(
            (case for case in self.entry.create if not case.when or self._given(case.when)), None
        )
        if create is None:
            raise Unsupported(f"{self.entry.name} has no way to create a key with these settings")
        return create

    def _old(self, like: Credential | None) -> KeyRecord | None:
        """The old key as it was last listed: preflight did that right before."""
        if like is None or not like.id or not self.can_list:
            return None
        if like.id not in self.listed:
            self.inventory()
        return self._read(self.listed.get(like.id))

    def _read(self, record: KeyRecord | None) -> KeyRecord | None:
        """With what only the key alone tells."""
        read = self.entry.read
        if read is None or record is None:
            return record
        data = self._call(read.request, {"id": record.id}).json()
        told = {name: reading.pick(path, data) for name, path in read.carried.items()}
        return replace(record, carried={**record.carried, **told})

    @property
    def _life(self) -> float | None:
        """Seconds that a new key is to live, as the playbook says."""
        found: float | None = values_of(self).get(LIFETIME)
        return found

    def inherits(self, old: KeyRecord | None) -> list[Finding]:
        create = None if self.supplied else self._create()
        given = inherited.Given(self._values(), time.time(), self._life)
        return list(inherited.findings(self.entry, create, self._read(old), given))

    def inventory(self) -> list[KeyRecord]:
        records = listing.records(self._each, self._items())
        self.listed.clear()
        self.listed.update((record.id, record) for record in records)
        return records


@contextlib.contextmanager
def _unclear() -> Iterator[None]:
    """A refusal after the create is none of the create: a key may be there."""
    try:
        yield
    except Unreadable:
        raise
    except PermanentError as error:
        raise Unreadable(error.message, error.hint) from error
