"""Providers that differ only in URLs and field names: one piece of code, each provider a catalog
file.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rotator.clients import http, pasted, patterns, reading
from rotator.counting import count
from rotator.errors import (
    Conflict,
    NotFound,
    PermanentError,
    PluginError,
    Rejected,
    TransientError,
    Unreadable,
    Unsupported,
)
from rotator.integrations.catalog import inherited, listing, templates
from rotator.integrations.catalog.api import CatalogApi
from rotator.integrations.catalog.entry import END, KEY, LIFETIME, OWNED, Create
from rotator.integrations.catalog.request import RequestTemplate
from rotator.model import (
    Credential,
    Finding,
    Identity,
    KeyRecord,
    Label,
    Level,
    NotYet,
    Overlap,
    Recovery,
)
from rotator.plugin import ProviderDefaults, values_of
from rotator.secret import Secret, hint_of, redact

_SOON = 2.0  # seconds until a create that is under way is asked for again


@dataclass(frozen=True, kw_only=True)
class HttpProvider(CatalogApi, ProviderDefaults):
    """The code behind every catalog file."""

    listed: dict[str, KeyRecord] = field(
        default_factory=dict, init=False, repr=False, compare=False, metadata={"hidden": True}
    )

    @property
    def supplied(self) -> bool:
        return not self.entry.create

    @property
    def destroys(self) -> bool:
        return bool(self.entry.revoke)

    @property
    def console(self) -> str | None:
        return self.entry.console or None

    @property
    def can_probe(self) -> bool:
        return self.entry.probe is not None

    @property
    def steps_to_create(self) -> tuple[str, ...]:
        return self.entry.steps.create

    @property
    def steps_to_revoke(self) -> tuple[str, ...]:
        return self.entry.steps.revoke

    @property
    def overlap(self) -> Overlap:
        return Overlap.MANY

    @property
    def recovery(self) -> Recovery:
        if self.supplied or not self.can_list:
            return Recovery.NONE
        return Recovery(self.entry.recovery)

    @property
    def quota(self) -> int:
        return self.entry.quota or 0

    @property
    def can_deactivate(self) -> bool:
        return self.entry.deactivate is not None

    @property
    def list_lag(self) -> float:
        return self.entry.list_lag

    @property
    def tells_use(self) -> bool:
        return self.entry.list_ is not None and bool(self.entry.list_.each.last_used)

    @property
    def usage_lag(self) -> float:
        """What is told as the last use may be older than the last use by so much."""
        return self.entry.last_used.granularity if self.entry.last_used else 0.0

    @property
    def propagation(self) -> float:
        return self.entry.propagation

    @property
    def revocation(self) -> float:
        return self.entry.propagation if self.entry.revocation is None else self.entry.revocation

    def preflight(self) -> list[Finding]:
        """Lists the keys: shows that the administrator's credential works, and how full
        a quota is.
        """
        if not self.can_list:
            if self.supplied and not self.destroys:
                return [] if self.can_probe else [self._untried()]
            return [Finding(Level.WARNING, f"{self.entry.name} cannot list keys")]
        items = self._items()
        live = sum(record.active for record in listing.records(self._each, items))
        how_full = (
            f"{live} of {count(self.entry.quota, 'key')}"
            if self.entry.quota
            else count(live, "key")
        )
        return [Finding(Level.OK, how_full), *listing.odd_dates(self._each, items)]

    def _untried(self) -> Finding:
        """Nobody but consumers shows whether a supplied key works."""
        return Finding(
            Level.WARNING,
            f"no call of {self.entry.name} is known that only tries a key: whether a new one works,"
            " consumers and the playbook's own probes must show",
            "under `verify`, an http probe of a consumer, or one with {key}",
        )

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
        return self._made(create, answer, given)

    def proceed(self, label: Label, like: Credential | None, handle: str) -> Credential | NotYet:
        """Goes on with a create that was not done at once.

        Raises Unreadable where it failed, or a key was made that nobody can use.
        """
        create = self._create()
        if create.wait is None:
            raise Unsupported(f"{self.entry.name} makes keys at once")
        with _unclear():
            answer = self._call(create.wait.request, {"handle": handle}, key=like)
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
            sent, answer = self._ask(request, given, key=key, makes_key=True)
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

    def accept(self, value: Secret, old: Credential | None) -> Credential:
        """The supplied key without the blanks around it.

        Raises PermanentError where it cannot be one.
        """
        return pasted.taken(value, old, self.looks_right)

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

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported(f"{self.entry.name} shows a key only once")

    def inventory(self) -> list[KeyRecord]:
        records = listing.records(self._each, self._items())
        self.listed.clear()
        self.listed.update((record.id, record) for record in records)
        return records

    def deactivate(self, credential: Credential) -> None:
        self._switch(self.entry.deactivate, credential)

    def reactivate(self, credential: Credential) -> None:
        self._switch(self.entry.reactivate, credential)

    def _switch(self, switch: Any, credential: Credential) -> None:
        if switch is None:
            raise Unsupported(f"{self.entry.name} cannot deactivate keys")
        given: dict[str, Any] = {"id": _id(credential)}
        if inherited.of_old(switch.request):  # as it is now: what is not sent would be lost
            self.inventory()
            old = self._old(credential)
            given |= inherited.values(self.entry, old, time.time(), None)
        self._call(switch.request, given, key=credential)

    def revoke(self, credential: Credential) -> None:
        """Destroys the key.

        An answer that says "gone already" is believed only if nothing speaks against it.
        """
        if not self.destroys:
            raise Unsupported(
                "only a person can destroy this key", "`rotator confirm NAME` once it is done"
            )
        if not credential.id and credential.values and self._refuses(credential):
            return  # it was dead when it was found, so no list told its id
        last: PluginError | None = None
        for case in self.entry.revoke:
            named = {"id": credential.id, "owner": ""}
            if templates.placeholders([case.request.path, case.request.json_body]) & named.keys():
                named = {"id": _id(credential), "owner": self._owner(_id(credential))}
            if case.when and not (named["owner"] if case.when == OWNED else self._given(case.when)):
                continue
            try:
                answer = self._call(case.request, named, key=credential, gone=case.gone)
            except (Conflict, NotFound) as error:
                last = error
                continue
            if answer.status not in case.gone or self._is_gone(credential):
                return
            last = TransientError(
                f"{self.entry.name} answers {answer.status} ('gone') to {case.request.method}, yet "
                + (
                    f"lists {credential.id} still"
                    if self.can_list
                    else f"{credential.id or credential.hint} is not refused"
                ),
                "is it a key of another project or account, or does the listing only lag?",
            )
        raise last or Unsupported(f"{self.entry.name} cannot revoke this key")

    def _is_gone(self, credential: Credential) -> bool:
        """By the listing; where there is none, by the key itself."""
        if self.can_list:
            return credential.id not in listing.ids(self._each, self._items())
        return bool(credential.values) and self._refuses(credential)

    def _owner(self, key_id: str) -> str:
        """The account that rotator made for this key alone, or ''."""
        if not self.can_list or not self._each.owner:
            return ""
        return listing.owner(self._each, self._items(), key_id)

    def probe(self, credential: Credential) -> Identity:
        """One call with the key itself.

        A fact of its identity that the answer does not tell is left out.
        """
        probe = self.entry.probe
        if probe is None:
            raise Unsupported(
                f"no call of {self.entry.name} is known that only tries a key",
                "an http or command probe with {key} in the playbook tries it",
            )
        request, answer = self._tried(probe.request, credential)
        if answer.status in probe.refused:
            raise Rejected(f"{self.entry.name} refuses the key ({answer.status}): {answer.text}")
        templates.check(self.entry, request, answer, "the key")
        if probe.dead and reading.pick(probe.dead, templates.data_of(answer)):
            raise Rejected(f"{self.entry.name} says that the key is dead (`{probe.dead}`)")
        facts = {name: templates.identity(path, answer) for name, path in probe.identity.items()}
        return Identity({name: fact for name, fact in facts.items() if fact})

    def _tried(
        self, template: RequestTemplate, credential: Credential
    ) -> tuple[http.Request, http.Answer]:
        """A request with the key alone; the administrator's credential is not asked for."""
        for key in credential.values.values():
            if reason := reading.no_header(key.reveal()):
                raise PermanentError(
                    f"the key cannot stand in a header: {reason}",
                    "is it the key, and the whole of it?",
                )
        request = templates.build(
            template,
            self._address(template.host),
            self.entry.api,
            credential.values,
            {"id": credential.id, **self._values()},
        )
        return request, http.send(request)

    def id_told(self, credential: Credential) -> str:
        """By the key itself; '' where the provider offers no such question."""
        whoami = self.entry.whoami
        if whoami is None:
            return ""
        request, answer = self._tried(whoami.request, credential)
        templates.check(self.entry, request, answer, "the key")
        return reading.key_id(reading.pick(whoami.id, answer.json()))

    def _refuses(self, credential: Credential) -> bool:
        try:
            self.probe(credential)
        except Rejected:
            return True
        return False

    def looks_right(self, value: Secret) -> str:
        """Of a key that a person pastes, what stands around it, too."""
        text, unlike = value.reveal(), f"it does not look like a key of {self.entry.name}"
        if self.supplied:
            return pasted.no_key(pasted.tidied(text), self.entry.pattern, unlike)
        return unlike if self.entry.pattern and not re.fullmatch(self.entry.pattern, text) else ""

    def signs(self) -> str:
        return patterns.signs(self.entry.pattern)

    def literal_prefix(self, value: Secret) -> str:
        if not self.entry.pattern or self.looks_right(value):
            return super().literal_prefix(value)
        return patterns.literal_prefix(self.entry.pattern, value.reveal())


@contextlib.contextmanager
def _unclear() -> Iterator[None]:
    """A refusal after the create is none of the create: a key may be there."""
    try:
        yield
    except Unreadable:
        raise
    except PermanentError as error:
        raise Unreadable(error.message, error.hint) from error


def _id(credential: Credential) -> str:
    if not credential.id:
        raise Unsupported("the key's id is not known", "`rotator adopt` it with its id")
    return credential.id
