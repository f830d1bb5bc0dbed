"""The text of a playbook, with comments, from what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from rotator.clients.reading import told
from rotator.integrations.catalog.entry import CatalogEntry
from rotator.secret import hint_of
from rotator.setup.found import NONE, READ, STARTED, Holding, text_of
from rotator.setup.recognised import OPERATOR, PUBLIC, SEVERAL
from rotator.views.environment_keys import probe_address

MEMBER = "{member}"  # what a pool fills in
_WEAKEST = (NONE, STARTED, READ)
# No restart, and nobody to ask: consumers that nobody found would run on with a key that dies
_LONG = "30d"


@dataclass(frozen=True)
class Draft:
    """A playbook to be. `keys`: for a credential of several variables, which of them is which.

    `missing`: settings without which a person makes the keys; `said` stands above it as comments.
    """

    name: str
    provider: str
    holdings: tuple[Holding, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    # Of a pool: the drafts that each of its keys would have by itself, the first one's first
    pool: tuple[Draft, ...] = ()

    @property
    def is_operator(self) -> bool:
        """Whether the provider `operator` stands in for one that lacks settings, or is unknown."""
        return self.provider == OPERATOR or bool(self.missing)

    @property
    def hint(self) -> str:
        """Of a key that has a public part, that one."""
        first = self.holdings[0]
        public = next((name for name, part in self.keys.items() if part == PUBLIC), "")
        value = first.source.values[public] if public else first.value
        return hint_of(text_of(value)) if value else ""

    @property
    def consumers(self) -> list[dict[str, Any]]:
        """Each once; variables of the same consumer in two places are one entry."""
        every = [user for holding in self.holdings for user in holding.users]
        if self.pool:
            every = [as_member(user, one.name) for one in self.holdings for user in one.users]
        return [one for index, one in enumerate(every) if one not in every[:index]]

    @property
    def stores(self) -> list[dict[str, Any]]:
        found = []
        for one in self.holdings:
            store = dict(one.source.store)
            if self.keys:
                store["keys"] = dict(self.keys)
            elif not one.source.whole:
                store["key"] = MEMBER if self.pool else one.name
            if store not in found:
                found.append(store)
        return found

    @property
    def evidence(self) -> str:
        """The weakest that any of the consumers can show."""
        shown = [_shown(one) for one in self.consumers] or [NONE]
        return min(shown, key=_WEAKEST.index)


def as_member(consumer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A consumer as a pool says it, for each of its keys."""
    return {key: MEMBER if value == name else value for key, value in consumer.items()}


def _shown(consumer: Mapping[str, Any]) -> str:
    return READ if consumer.get("env") else STARTED


def text(draft: Draft, entry: CatalogEntry | None) -> str:
    """The whole file.

    Names from files of others stand in comments on one line: what follows a line's end is none.
    """
    lines = [
        *_above(draft, entry),
        f"description: {_described(draft, entry)}",
        *_pool(draft),
        *_generate(draft, entry),
    ]
    lines += ["store:", *(f"  - {_flow(store)}" for store in draft.stores)]
    lines += _restart(draft)
    if draft.is_operator or (entry is not None and entry.probe is None):
        lines += _verify(draft, entry if draft.provider != OPERATOR else None)
    lines += [
        "# Rotated by hand so far. With a schedule, `rotate --due` or the daemon begins it:",
        "# schedule: {every: 30d}",
    ]
    return "\n".join(lines) + "\n"


def _pool(draft: Draft) -> Iterator[str]:
    if draft.pool:
        yield f"pool: {_flow([one.name for one in draft.holdings])}  # rotated one after the other"


def _above(draft: Draft, entry: CatalogEntry | None) -> Iterator[str]:
    shown = f" ({draft.hint})" if draft.hint else ""
    for one in draft.pool:
        yield f"# {told(one.holdings[0].shown)}{f' ({one.hint})' if one.hint else ''}."
    for index, holding in enumerate(() if draft.pool else draft.holdings):
        again = "The same key: " if index else ""
        yield f"# {again}{told(holding.shown)}{'' if index else shown}."
    for sentence in draft.said:
        yield f"# {told(sentence)}."
    if entry is not None and draft.missing:
        words = [f"{name} ({_help(entry, name)})" for name in draft.missing]
        yield f"# rotator makes them itself, by `uses: {draft.provider}`, once these are known:"
        yield from (f"#   {told(one)}" for one in words)


def _help(entry: CatalogEntry, name: str) -> str:
    return entry.settings[name].help if name in entry.settings else "the address of your server"


def _described(draft: Draft, entry: CatalogEntry | None) -> str:
    of = entry.name if entry is not None else draft.name
    keys = "a key" if draft.pool else "the key"
    return _scalar(f"{keys} of {of} in {draft.holdings[0].source.shown}")


def _generate(draft: Draft, entry: CatalogEntry | None) -> Iterator[str]:
    yield "generate:"
    if not draft.is_operator:
        yield f"  uses: {draft.provider}"
        for name, value in draft.settings.items():
            yield f"  {name}: {_flow(value)}"
        if entry is not None and entry.slots:
            yield "  # A rotation makes the other key anew. Once nobody uses it:"
            yield "  # exclusive: true"
        return
    yield "  uses: operator  # a person makes the key: `rotator supply` takes it"
    if entry is not None:
        if entry.pattern:
            yield f"  pattern: {_scalar(entry.pattern)}"
        if entry.console:
            yield f"  console: {_scalar(entry.console)}"


def _restart(draft: Draft) -> Iterator[str]:
    if draft.consumers:
        yield "restart:"
        yield from (f"  - {_flow(one)}" for one in draft.consumers)
        yield f"evidence: {draft.evidence}"
        return
    yield "# Nobody was found who reads it. Name them here (`rotator plugins` lists restarters):"
    yield f"# until then they are not restarted, and the old key lives on for {_LONG}."
    yield "restart:"
    yield "  - {uses: none, within: 1m}"
    yield "evidence: none"
    yield f"revoke: {{grace: {_LONG}}}"


def _verify(draft: Draft, entry: CatalogEntry | None) -> Iterator[str]:
    """The provider's own cheapest call, with the key; by it a key is also proven dead."""
    probe = _probe(draft, entry) if entry is not None else None
    if probe is None:
        yield "# No call is known that only tries such a key. Ask a consumer whether it works:"
        yield "# verify: {uses: http, url: 'http://127.0.0.1:8000/health'}"
    else:
        yield "verify:"
        yield f"  - {_flow(probe)}"


def _probe(draft: Draft, entry: CatalogEntry) -> dict[str, Any] | None:
    """The entry's probe as a probe of a playbook, None where it needs what only settings say.

    It asks where the key's readers send it: elsewhere, a key of a proxy would go to strangers.
    """
    probe = entry.probe
    where, usual = probe_address(entry)
    base = "" if where in draft.missing else str(draft.settings.get(where) or usual or "")
    if probe is None or not base:
        return None
    request = probe.request
    auth = request.auth or entry.api.auth
    if auth is None or "{" in request.path or auth.secrets != ("key",) or auth.basic:
        return None
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    if "{" in query:
        return None
    header = auth.header or "Authorization"
    value = "Bearer {key}" if auth.bearer else f"{auth.prefix}{{key}}"
    found: dict[str, Any] = {
        "uses": "http",
        "url": f"{base.rstrip('/')}{request.path}{'?' + query if query else ''}",
        "headers": {header: value, **_headers(entry)},
    }
    if request.method != "GET":
        found["method"] = request.method
    if request.json_body is not None:
        found["json"] = request.json_body
    if probe.dead:
        found["expect"] = {"status": 200, "body": [f"!({probe.dead})"]}
    return found


def _headers(entry: CatalogEntry) -> dict[str, str]:
    assert entry.probe is not None
    every = {**entry.api.headers, **entry.probe.request.headers}
    return {name: value.text for name, value in every.items() if not value.secret}


def several(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The provider of a credential of several variables that all stand in one place, with which is
    which; ('', {}) where none does.
    """
    for provider, fields in SEVERAL.items():
        needed = [name for name, part in fields.items() if part != "region"]
        if all(name in names for name in needed):
            return provider, {name: part for name, part in fields.items() if name in names}
    return "", {}


def _flow(value: Any) -> str:
    """On one line, as a person would write it."""
    dumped = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    return dumped.removesuffix("\n").removesuffix("\n...")


_scalar = _flow
