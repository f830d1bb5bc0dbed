"""Providers that differ only in URLs and field names: one piece of code, each provider a catalog
file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
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
from rotator.integrations.catalog.entry import (
    END,
    OWNED,
    CatalogEntry,
    Create,
)
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
from rotator.plugin import ProviderDefaults, setting
from rotator.reference import Reference
from rotator.secret import Secret, hint_of


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
        old = self._old(like) if inherited.asked(create) else None
        given = {"label": label.text, **inherited.values(self.entry, old, time.time())}
        request = self._request(create.request, given, makes_key=True)
        try:
            answer = http.send(request)
        except http.Redirected as error:
            raise Unreadable(error.message, error.hint) from error
        templates.check_create(self.entry, request, answer, self._who)
        paths = create.answer
        secret, data = templates.secret_in(self.entry, paths.secret, answer)
        return Credential(
            values={"key": secret},
            id=reading.key_id(reading.pick(paths.id, data)),
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
        return self.listed.get(like.id)

    def inherits(self, old: KeyRecord | None) -> list[Finding]:
        create = None if self.supplied else self._create()
        return list(inherited.findings(self.entry, create, old, time.time()))

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
        self._call(switch.request, {"id": _id(credential)})

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
        owner = self._owner(_id(credential))
        last: PluginError | None = None
        for case in self.entry.revoke:
            if case.when and not (owner if case.when == OWNED else self._given(case.when)):
                continue
            try:
                answer = self._call(
                    case.request, {"id": _id(credential), "owner": owner}, gone=case.gone
                )
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
                    else f"{credential.id} is not refused"
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
        key = credential.primary
        if reason := reading.no_header(key.reveal()):
            raise PermanentError(
                f"the key cannot stand in a header: {reason}", "is it the key, and the whole of it?"
            )
        request = templates.build(
            probe.request, self._base, self.entry.api, {"key": key}, self._values()
        )
        answer = http.send(request)
        if answer.status in probe.refused:
            raise Rejected(f"{self.entry.name} refuses the key ({answer.status}): {answer.text}")
        templates.check(self.entry, request, answer, "the key")
        facts = {name: templates.identity(path, answer) for name, path in probe.identity.items()}
        return Identity({name: fact for name, fact in facts.items() if fact})

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


def _id(credential: Credential) -> str:
    if not credential.id:
        raise Unsupported("the key's id is not known", "`rotator adopt` it with its id")
    return credential.id


def provider_class(name: str, entry: CatalogEntry) -> type[HttpProvider]:
    """The plugin class of a catalog file's entry: its settings are the class's fields."""
    fields: list[Any] = []
    for setting_name, described in entry.settings.items():
        kind: Any = Reference if described.secret else str
        if described.required:
            fields.append(
                (setting_name, kind, setting(described.help, connection=described.secret))
            )
        else:
            optional = setting(
                described.help, default=described.default, connection=described.secret
            )
            fields.append((setting_name, kind | None, optional))
    provider = make_dataclass(
        f"{name.title()}Provider", fields, bases=(HttpProvider,), frozen=True, kw_only=True
    )
    provider.entry = entry  # type: ignore[attr-defined]
    provider.__doc__ = f"Keys of {entry.name}. Source: {entry.docs}"
    return provider
