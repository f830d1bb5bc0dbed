"""Providers that differ only in URLs and field names: one piece of code, each provider a catalog
file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
    Unsupported,
)
from rotator.integrations.catalog import inherited, listing, templates
from rotator.integrations.catalog.api import Sent
from rotator.integrations.catalog.creating import CatalogCreates
from rotator.integrations.catalog.entry import OWNED
from rotator.integrations.catalog.request import RequestTemplate
from rotator.model import (
    Credential,
    Finding,
    Identity,
    Level,
    Overlap,
    Recovery,
)
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class HttpProvider(CatalogCreates):
    """The code behind every catalog file."""

    @property
    def destroys(self) -> bool:
        return self.entry.destroys

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
        amiss = list(self._amiss())
        if not self.can_list:
            if self.supplied and not self.destroys:
                return amiss if self.can_probe else [*amiss, self._untried()]
            return [*amiss, Finding(Level.WARNING, f"{self.entry.name} cannot list keys")]
        items = self._items()
        live = sum(record.active for record in listing.records(self._each, items))
        how_full = (
            f"{live} of {count(self.entry.quota, 'key')}"
            if self.entry.quota
            else count(live, "key")
        )
        return [*amiss, Finding(Level.OK, how_full), *listing.odd_dates(self._each, items)]

    def _amiss(self) -> Iterator[Finding]:
        """What the provider says that speaks against a rotation (`preflight`)."""
        for one in self.entry.preflight:
            if reading.pick(one.when, self._call(one.request, {}).json()):
                yield Finding(Level.ERROR, one.text, one.hint)

    def _untried(self) -> Finding:
        """Nobody but consumers shows whether a supplied key works."""
        return Finding(
            Level.WARNING,
            f"no call of {self.entry.name} is known that only tries a key: whether a new one works,"
            " consumers and the playbook's own probes must show",
            "under `verify`, an http probe of a consumer, or one with {key}",
        )

    def accept(self, value: Secret, old: Credential | None) -> Credential:
        """The supplied key without the blanks around it.

        Raises PermanentError where it cannot be one.
        """
        return pasted.taken(value, old, self.looks_right)

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported(f"{self.entry.name} shows a key only once")

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
        self._call(switch.request, given, Sent(key=credential))

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
            if _placeholders(case.request) & named.keys():
                named = {"id": _id(credential), "owner": self._owner(_id(credential))}
            if case.when and not (named["owner"] if case.when == OWNED else self._given(case.when)):
                continue
            try:
                answer = self._call(case.request, named, Sent(key=credential), case.gone)
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
        if 400 <= answer.status < 500 and self._says_alive(probe.alive, answer):
            return Identity()
        if answer.status in probe.refused:
            raise Rejected(f"{self.entry.name} refuses the key ({answer.status}): {answer.text}")
        templates.check(self.entry, request, answer, "the key")
        if probe.dead and self._says_dead(probe.dead, answer):
            raise Rejected(f"{self.entry.name} says that the key is dead (`{probe.dead}`)")
        facts = {name: templates.identity(path, answer) for name, path in probe.identity.items()}
        return Identity({name: fact for name, fact in facts.items() if fact})

    @staticmethod
    def _says_alive(path: str, answer: http.Answer) -> bool:
        data = templates.data_of(answer)
        return bool(path) and isinstance(data, dict) and bool(reading.pick(path, data))

    def _says_dead(self, path: str, answer: http.Answer) -> bool:
        """Raises TransientError where it says nothing: a proxy's page is no word on a key."""
        data = templates.data_of(answer)
        if data is None:
            raise TransientError(
                f"{self.entry.name} answered {answer.status} without JSON, which alone tells"
                f" whether the key is dead (`{path}`)",
                "is a proxy's login page in between?",
            )
        return bool(reading.pick(path, data))

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


def _placeholders(request: RequestTemplate) -> set[str]:
    """The names in braces in all that is sent."""
    path = request.path.replace("{+", "{")
    return templates.placeholders([path, request.query, request.json_body, request.form])


def _id(credential: Credential) -> str:
    if not credential.id:
        raise Unsupported("the key's id is not known", "`rotator adopt` it with its id")
    return credential.id
