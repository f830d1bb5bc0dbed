"""Providers that differ only in URLs and field names: one piece of code, each provider a catalog file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from rotator.clients import http
from rotator.errors import ConfigError, Conflict, NotFound, OutcomeUnknown, PermanentError, Rejected, Unsupported
from rotator.model import Credential, Finding, Identity, KeyRecord, Label, Level, NotYet, Overlap, Recovery
from rotator.plugin import ProviderDefaults, setting
from rotator.providers import patterns, templates
from rotator.providers.catalog_entry import CatalogEntry, RequestTemplate, entry_at
from rotator.reference import Reference
from rotator.secret import Secret, hint_of


@dataclass(frozen=True, kw_only=True)
class HttpProvider(ProviderDefaults):
    """The code behind every catalog file."""

    entry: ClassVar[CatalogEntry]
    base_url: str | None = setting(
        "Address of the API, for a proxy or a self-hosted server", default=None, connection=True
    )
    supplied: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (self.base_url or self.entry.api.base):
            raise ConfigError(f"{self.entry.name} needs base_url", "it is self-hosted: there is no default address")

    @property
    def overlap(self) -> Overlap:
        return Overlap.MANY

    @property
    def recovery(self) -> Recovery:
        return Recovery.LABEL if self.can_list else Recovery.NONE

    @property
    def can_list(self) -> bool:
        return self.entry.list_ is not None

    @property
    def quota(self) -> int:  # type: ignore[override]
        return self.entry.quota or 0

    @property
    def can_deactivate(self) -> bool:
        return self.entry.deactivate is not None

    @property
    def list_lag(self) -> float:
        return self.entry.list_lag

    @property
    def tells_use(self) -> bool:  # type: ignore[override]
        return self.entry.list_ is not None and bool(self.entry.list_.each.last_used)

    @property
    def usage_lag(self) -> float:  # type: ignore[override]
        """What is told as the last use may be older than the last use by so much."""
        return self.entry.last_used.granularity if self.entry.last_used else 0.0

    @property
    def propagation(self) -> float:  # type: ignore[override]
        return self.entry.propagation

    def preflight(self) -> list[Finding]:
        """Lists the keys: shows that the administrator's credential works, and how full a quota is."""
        if not self.can_list:
            return [Finding(Level.WARNING, f"{self.entry.name} cannot list keys")]
        count = sum(record.active for record in self.inventory())
        of = f" of {self.entry.quota}" if self.entry.quota else ""
        return [Finding(Level.OK, f"{count}{of} keys")]

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        create = next((case for case in self.entry.create if not case.when or self._given(case.when)), None)
        if create is None:
            raise Unsupported(f"{self.entry.name} has no way to create a key with these settings")
        answer = self._call(create.request, {"label": label.text})
        try:
            data = answer.json()
            secret = templates.text(create.answer.secret, data)
        except PermanentError as error:
            raise OutcomeUnknown(f"the answer to a create is not readable: {error.message}") from error
        if not secret:
            raise OutcomeUnknown(f"{self.entry.name} answered a create without a key")
        found = create.answer
        return Credential(
            values={"key": Secret(secret)},
            id=templates.text(found.id, data),
            hint=hint_of(secret),
            created_at=templates.moment(templates.pick(found.created, data)),
            expires_at=templates.moment(templates.pick(found.expires, data)),
        )

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported(f"{self.entry.name} shows a key only once")

    def inventory(self) -> list[KeyRecord]:
        return [self._record(item) for item in self._items()]

    def _items(self) -> list[Any]:
        listing = self.entry.list_
        if listing is None:
            raise Unsupported(f"{self.entry.name} cannot list keys")

        def page(query: Mapping[str, str]) -> Any:
            return self._call(listing.request, {}, query).json()

        return list(templates.pages(listing, page))

    def _record(self, item: Any) -> KeyRecord:
        each = self.entry.list_.each  # type: ignore[union-attr]
        names = [templates.text(path, item) for path in each.label]
        label = next((name for name in names if Label.parse(name)), next((name for name in names if name), ""))
        active = bool(templates.pick(each.active, item)) if each.active else True
        return KeyRecord(
            id=templates.text(each.id, item),
            label=label,
            hint=templates.text(each.hint, item),
            created_at=templates.moment(templates.pick(each.created, item)),
            expires_at=templates.moment(templates.pick(each.expires, item)),
            last_used_at=templates.moment(templates.pick(each.last_used, item)),
            active=active,
        )

    def deactivate(self, credential: Credential) -> None:
        self._switch(self.entry.deactivate, credential)

    def reactivate(self, credential: Credential) -> None:
        self._switch(self.entry.reactivate, credential)

    def _switch(self, switch: Any, credential: Credential) -> None:
        if switch is None:
            raise Unsupported(f"{self.entry.name} cannot deactivate keys")
        self._call(switch.request, {"id": _id(credential)})

    def revoke(self, credential: Credential) -> None:
        if not credential.id and credential.values and self._refuses(credential):
            return  # it was dead when it was found, so no list told its id
        owner = self._owner(_id(credential))
        last: PermanentError | None = None
        for case in self.entry.revoke:
            if case.when == "owned" and not owner:
                continue
            try:
                self._call(case.request, {"id": _id(credential), "owner": owner}, gone=case.gone)
                return
            except (Conflict, NotFound) as error:
                last = error
        raise last or Unsupported(f"{self.entry.name} cannot revoke this key")

    def _owner(self, key_id: str) -> str:
        """The account that rotator made for this key alone, or ''."""
        each = self.entry.list_.each if self.entry.list_ else None
        if each is None or not each.owner:
            return ""
        items = self._items()
        mine = next((item for item in items if templates.text(each.id, item) == key_id), None)
        owner = templates.text(each.owner, mine) if mine is not None else ""
        shared = [item for item in items if owner and templates.text(each.owner, item) == owner]
        ours = mine is not None and Label.parse(templates.text(each.owner_label, mine)) is not None
        return owner if ours and len(shared) == 1 else ""

    def probe(self, credential: Credential) -> Identity:
        probe = self.entry.probe
        request = templates.build(
            probe.request, self._base, self.entry.api.auth, {"key": credential.primary}, self._values()
        )
        answer = http.send(request)
        if answer.status in probe.refused:
            raise Rejected(f"{self.entry.name} refuses the key ({answer.status}): {answer.text}")
        templates.check(self.entry, request, answer, "the key")
        data = answer.json() if probe.identity else None
        return Identity({name: _identity(path, answer, data) for name, path in probe.identity.items()})

    def _refuses(self, credential: Credential) -> bool:
        try:
            self.probe(credential)
        except Rejected:
            return True
        return False

    def looks_right(self, value: Secret) -> str:
        if self.entry.pattern and not re.fullmatch(self.entry.pattern, value.reveal()):
            return f"it does not look like a key of {self.entry.name}"
        return ""

    def literal_prefix(self, value: Secret) -> str:
        if not self.entry.pattern or self.looks_right(value):
            return super().literal_prefix(value)
        return patterns.literal_prefix(self.entry.pattern, value.reveal())

    @property
    def _base(self) -> str:
        return self.base_url or self.entry.api.base or ""

    def _given(self, name: str) -> bool:
        return getattr(self, name, None) is not None

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name, entry in self.entry.settings.items() if not entry.secret}

    def _call(
        self,
        template: RequestTemplate,
        values: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
        gone: tuple[int, ...] = (),
    ) -> http.Answer:
        """A call with the administrator's credential, resolved now."""
        secrets = {name: getattr(self, name).resolve() for name, entry in self.entry.settings.items() if entry.secret}
        request = templates.build(template, self._base, self.entry.api.auth, secrets, {**self._values(), **values})
        if query:
            request = dataclasses.replace(request, query={**request.query, **query})
        answer = http.send(request)
        if answer.status in gone:
            return answer
        return templates.check(self.entry, request, answer, " or ".join(secrets) or "the request")


def _id(credential: Credential) -> str:
    if not credential.id:
        raise Unsupported("the key's id is not known", "`rotator adopt` it with its id")
    return credential.id


def _identity(path: str, answer: http.Answer, data: Any) -> str:
    if path.startswith("header:"):
        return answer.headers.get(path.removeprefix("header:"), "")
    return str(templates.pick(path, data))


@lru_cache
def provider_class(path: Path) -> type[HttpProvider]:
    """The plugin class of a catalog file: its settings are the class's fields."""
    entry = entry_at(path)
    fields: list[Any] = []
    for name, found in entry.settings.items():
        kind: Any = Reference if found.secret else str
        if found.required:
            fields.append((name, kind, setting(found.help, connection=found.secret)))
        else:
            fields.append((name, kind | None, setting(found.help, default=found.default, connection=found.secret)))
    made = make_dataclass(f"{path.stem.title()}Provider", fields, bases=(HttpProvider,), frozen=True, kw_only=True)
    made.entry = entry  # type: ignore[attr-defined]
    made.__doc__ = f"Keys of {entry.name}. Source: {entry.docs}"
    return made
