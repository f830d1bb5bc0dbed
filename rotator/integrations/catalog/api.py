"""The API of a catalog file: its settings, its requests and who asks them, its list of keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rotator.clients import http, reading
from rotator.errors import ConfigError, Unsupported
from rotator.integrations.catalog import listing, templates
from rotator.integrations.catalog.entry import CatalogEntry, Each
from rotator.integrations.catalog.request import RequestTemplate
from rotator.plugin import setting, values_of
from rotator.reference import Reference


@dataclass(frozen=True, kw_only=True)
class CatalogApi:
    """What each provider of a catalog file asks by: the file's settings are the fields of a
    subclass.
    """

    entry: ClassVar[CatalogEntry]
    base_url: str | None = setting(
        "Address of the API, for a proxy or a self-hosted server", default=None, connection=True
    )

    def __post_init__(self) -> None:
        if not (self.base_url or self.entry.api.base):
            raise ConfigError(
                f"{self.entry.name} needs base_url",
                "it is self-hosted: there is no default address",
            )
        given = {name: value for name, value in self._values().items() if value is not None}
        for name in self.entry.in_paths & given.keys():
            if reason := reading.unfit(given[name]):
                hint = f"{name}: {self.entry.settings[name].help}"
                raise ConfigError(f"'{name}' cannot be part of an address: it is {reason}", hint)

    @property
    def can_list(self) -> bool:
        return self.entry.list_ is not None

    @property
    def _each(self) -> Each:
        """Where things are in a listed key. Raises Unsupported."""
        if self.entry.list_ is None:
            raise Unsupported(f"{self.entry.name} cannot list keys")
        return self.entry.list_.each

    def _items(self) -> list[Any]:
        keys = self.entry.list_
        if keys is None:
            raise Unsupported(f"{self.entry.name} cannot list keys")

        def page(query: Mapping[str, str]) -> Any:
            return self._call(keys.request, {}, query).json()

        return list(listing.pages(keys, page))

    @property
    def _base(self) -> str:
        return self.base_url or self.entry.api.base or ""

    def usual_address(self) -> str:
        """As the catalog file has it."""
        return "" if self.base_url else self.entry.api.base or ""

    def _given(self, name: str) -> bool:
        return values_of(self).get(name) is not None

    def _values(self) -> dict[str, Any]:
        """What the playbook says, or the catalog file by default; without what is secret."""
        values = values_of(self)
        return {n: values[n] for n, entry in self.entry.settings.items() if not entry.secret}

    def _references(self) -> dict[str, Reference | None]:
        """Where the secrets are that the playbook names, None for those it does not."""
        values = values_of(self)
        return {n: values[n] for n, entry in self.entry.settings.items() if entry.secret}

    @property
    def _who(self) -> str:
        """The administrator's credential, by its setting and where that refers to, for messages."""
        given = self._references()
        named = [
            f"{name}, from {reference}"
            for name, reference in given.items()
            if reference is not None
        ]
        return " or ".join(named or given) or "the request"

    def _request(
        self, template: RequestTemplate, values: Mapping[str, Any], makes_key: bool = False
    ) -> http.Request:
        """A request with the administrator's credential, resolved now."""
        secrets = {
            name: reference.resolve()
            for name, reference in self._references().items()
            if reference is not None
        }
        given = {**self._values(), **values}
        return templates.build(template, self._base, self.entry.api, secrets, given, makes_key)

    def _call(
        self,
        template: RequestTemplate,
        values: Mapping[str, Any],
        query: Mapping[str, str] | None = None,
        gone: tuple[int, ...] = (),
    ) -> http.Answer:
        request = self._request(template, values)
        if query:
            request = dataclasses.replace(request, query={**request.query, **query})
        answer = http.send(request)
        return (
            answer
            if answer.status in gone
            else templates.check(self.entry, request, answer, self._who)
        )
