"""The API of a catalog file: its settings, its requests and who asks them, its list of keys."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rotator.clients import http, reading
from rotator.errors import ConfigError, PermanentError, Unsupported
from rotator.integrations.catalog import listing, templates
from rotator.integrations.catalog.entry import ACCESS_TOKEN, CatalogEntry, Each
from rotator.integrations.catalog.request import RequestTemplate
from rotator.model import Credential
from rotator.plugin import setting, values_of
from rotator.reference import Reference
from rotator.secret import Secret

_SPARE = 60.0  # seconds: a token that ends sooner is not used any more


@dataclass(frozen=True, slots=True)
class Sent:
    """How a request is sent, beside its template: `key` is the key that it is about, `address` the
    whole address of a next page; the answer to one that `makes_key` may hold a new key.
    """

    key: Credential | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    makes_key: bool = False


_PLAINLY = Sent()


@dataclass(frozen=True, kw_only=True)
class CatalogApi:
    """What each provider of a catalog file asks by: the file's settings are the fields of a
    subclass.
    """

    entry: ClassVar[CatalogEntry]
    base_url: str | None = setting(
        "Address of the API, for a proxy or a self-hosted server", default=None, connection=True
    )

    # An access token with the Unix time of its end
    tokens: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, metadata={"hidden": True}
    )

    def __post_init__(self) -> None:
        if not (self.base_url or self.entry.api.base):
            raise ConfigError(
                f"{self.entry.name} needs base_url",
                "it is self-hosted: there is no default address",
            )
        given = {name: value for name, value in self._values().items() if value is not None}
        for name in self.entry.in_paths & given.keys():
            if reason := reading.unfit(str(given[name])):
                hint = f"{name}: {self.entry.settings[name].help}"
                raise ConfigError(f"'{name}' cannot be part of an address: it is {reason}", hint)
        self._need_a_token()

    def _need_a_token(self) -> None:
        """Raises ConfigError where nothing gives an access token."""
        token = self.entry.api.token
        if token is None or self._given(token.given):
            return
        used = templates.needed(token.request) & self.entry.settings.keys()
        missing = [name for name in self.entry.settings if name in used and not self._given(name)]
        if missing:
            instead = f"or {token.given}: {self.entry.settings[token.given].help}"
            raise ConfigError(f"{self.entry.name} needs {' and '.join(missing)}", instead)

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

        def page(query: Mapping[str, str], address: str) -> Any:
            return self._call(keys.request, {}, Sent(query=query, address=address)).json()

        return list(listing.pages(keys, page, self._address(keys.request.host) + keys.request.path))

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

    def _address(self, host: str) -> str:
        """Of the API, or of one of its further hosts."""
        if not host:
            return self._base
        given: str | None = values_of(self).get(f"{host}_url")
        return given or self.entry.api.hosts[host] or ""

    def _ask(
        self,
        template: RequestTemplate,
        values: Mapping[str, Any],
        sent: Sent = _PLAINLY,
    ) -> tuple[http.Request, http.Answer]:
        """What was sent with the administrator's credential, resolved now, and what came.

        A fetched access token that is refused is fetched once more: it may have been withdrawn.
        """
        secrets = {
            name: reference.resolve()
            for name, reference in self._references().items()
            if reference is not None
        }
        secrets |= sent.key.values if sent.key is not None else {}
        given = {**self._values(), **values}
        auth = template.auth or self.entry.api.auth
        fetched = auth is not None and ACCESS_TOKEN in auth.secrets
        token = self.entry.api.token
        if token is not None and token.given in secrets:
            secrets[ACCESS_TOKEN], fetched = secrets[token.given], False
        while True:
            kept = ACCESS_TOKEN in self.tokens
            if fetched:
                secrets[ACCESS_TOKEN] = self._access_token(secrets, given)
            request = templates.build(
                template,
                self._address(template.host),
                self.entry.api,
                secrets,
                given,
                sent.makes_key,
            )
            if sent.query:
                request = dataclasses.replace(request, query={**request.query, **sent.query})
            if sent.address:
                request = dataclasses.replace(request, url=sent.address, query={})
            answer = http.send(request)
            if not (fetched and answer.status == 401):
                return request, answer
            self.tokens.clear()
            if not kept:
                return request, answer

    def _access_token(self, secrets: Mapping[str, Secret], given: Mapping[str, Any]) -> Secret:
        """Kept in memory as long as it is good for another minute."""
        found, until = self.tokens.get(ACCESS_TOKEN, (None, 0.0))
        if isinstance(found, Secret) and time.time() < until - _SPARE:
            return found
        token = self.entry.api.token
        assert token is not None  # proven
        request = templates.build(
            token.request,
            self._address(token.request.host),
            self.entry.api.model_copy(update={"auth": None, "headers": {}}),
            secrets,
            given,
            makes_key=True,
        )
        answer = templates.check(self.entry, request, http.send(request), self._who)
        value = reading.pick(token.token, answer.json())
        if not isinstance(value, str) or reading.no_header(value):
            raise PermanentError(
                f"{self.entry.name} answered without an access token at `{token.token}`"
                " (api.token.token)"
            )
        lives = reading.pick(token.lives, answer.json())
        seconds = float(lives) if isinstance(lives, (int, float)) else 0.0
        self.tokens[ACCESS_TOKEN] = (Secret(value), time.time() + seconds)
        return Secret(value)

    def _call(
        self,
        template: RequestTemplate,
        values: Mapping[str, Any],
        sent: Sent = _PLAINLY,
        gone: tuple[int, ...] = (),
    ) -> http.Answer:
        request, answer = self._ask(template, values, sent)
        return (
            answer
            if answer.status in gone
            else templates.check(self.entry, request, answer, self._who)
        )
