"""A real HTTP server that keeps keys as a catalog file's examples say: every shipped entry is tested
at one, without a server of its own.

What a request changes is read from the file: where the label stands in a create, what a switch
sends, which of the listed fields is the id. The answers are the examples, with the state put in.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import random
import re
import string
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jmespath

from rotator.clients import reading
from rotator.integrations.catalog.entry import ACCESS_TOKEN, KEY, OLD, CatalogEntry, Create
from rotator.integrations.catalog.request import Auth, RequestTemplate, secret_named
from rotator.integrations.catalog.templates import FIELD
from tests.patterns import Examples

HTML = b"<html><body>Please sign in. sk-looks-like-a-key-0123456789</body></html>"
_MASK = re.compile(r"\.{2,}|…|\*+")


@dataclass
class Issued:
    """A key: what it consists of, how the list shows it, and whether it is alive."""

    id: str
    values: dict[str, str]
    item: Any
    details: Any = None
    alive: bool = True


@dataclass
class Fault:
    """What happens in place of, or after, an answer; `work`: it is done all the same."""

    status: int = 500
    body: bytes = b'{"error": {"message": "internal"}}'
    headers: Mapping[str, str] = field(default_factory=dict)
    work: bool = False
    lost: bool = False  # the connection is cut


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    def at(self, path: str) -> Asked:
        return replace(self, path=path)


@dataclass
class ByExample:
    """The state of one issuer. `faults` are taken one by one, by the operation they meet."""

    entry: CatalogEntry
    settings: dict[str, Any]
    secrets: dict[str, str]
    address: str = ""
    keys: list[Issued] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)  # what a list that lags does not show yet
    stands_still: bool = False  # its pages name themselves as the next
    asked: list[Asked] = field(default_factory=list)
    token: str = ""
    polls: int = 0
    count: int = 0
    dated: Any = None  # what a listed key says of when it was made
    lock: threading.RLock = field(default_factory=threading.RLock)
    in_slots: dict[str, Issued] = field(default_factory=dict)
    amiss: dict[int, Any] = field(default_factory=dict)  # other answers to what is asked before

    def __post_init__(self) -> None:
        for slot in self.entry.slots.names if self.entry.slots else ():
            self.renew(slot)

    # --- what a person sees ---
    def by_hand(self, label: str = "by hand") -> Issued:
        """A key that was made in the console; of two slots, the one in the first."""
        if self.in_slots:
            return next(iter(self.in_slots.values()))
        return self._issue(None, {}, label)

    def renew(self, slot: str) -> Issued:
        """The key of a slot is made anew: the one that was there dies."""
        if slot in self.in_slots:
            self.in_slots[slot].alive = False
        self.in_slots[slot] = self._issue(None, {}, slot)
        return self.in_slots[slot]

    @property
    def live(self) -> list[str]:
        return [key.id for key in self.keys if self.accepts(key)]

    def accepts(self, key: Issued) -> bool:
        return key.alive and self._active(key)

    def of(self, key_id: str) -> Issued | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def _active(self, key: Issued) -> bool:
        each = self.entry.list_.each if self.entry.list_ else None
        if each is None or not each.active:
            return True
        return reading.flag(reading.pick(each.active, reading.plain(key.item)))

    # --- what is asked ---
    def answer(
        self, method: str, target: str, headers: Mapping[str, str], raw: bytes
    ) -> tuple[int, bytes, Mapping[str, str], bool]:
        """Status, body, headers, and whether the connection is cut instead."""
        with self.lock:
            url = urllib.parse.urlsplit(target)
            query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            body = _read(headers, raw)
            found = self._operation(method, url.path, query, body)
            if not found:
                return 404, b'{"error": {"message": "no such address"}}', {}, False
            found = [one for one in found if not self._who(one[1].request, headers)[1]] or found
            operation, part, groups = found[0]
            self.asked.append(Asked(operation, method, url.path, query, headers, body))
            waiting = self.faults.get(operation, [])
            fault = waiting.pop(0) if waiting else None
            if fault is not None and not fault.work:
                return fault.status, fault.body, fault.headers, fault.lost
            who, refusal = self._who(part.request, headers)
            if refusal:
                return refusal, b'{"error": {"message": "who are you?"}}', {}, False
            status, said = self._do(operation, part, groups, query, body, who)
            if fault is not None:
                return fault.status, fault.body, fault.headers, fault.lost
            return status, b"" if said is None else json.dumps(said).encode(), {}, False

    def _parts(self) -> Iterator[tuple[str, Any]]:
        entry = self.entry
        if entry.api.token:
            yield "token", entry.api.token
        for case in entry.create:
            if not case.when or self.settings.get(case.when) is not None:
                yield "create", case
        yield "probe", entry.probe
        if entry.slots:
            yield "both", entry.slots.read
            yield "regenerate", entry.slots.regenerate
        yield from (("before", one) for one in entry.preflight)
        for name, one in (
            ("whoami", entry.whoami),
            ("list", entry.list_),
            ("read", entry.read),
            ("deactivate", entry.deactivate),
            ("reactivate", entry.reactivate),
        ):
            if one is not None:
                yield name, one
        for case_ in entry.revoke:
            yield "revoke", case_
        for case in entry.create:
            for name, step in (("then", case.then), ("wait", case.wait)):
                if step is not None:
                    yield name, step

    def _operation(
        self, method: str, path: str, query: Mapping[str, str], body: Any
    ) -> list[tuple[str, Any, dict[str, str]]]:
        """What it may be: a list is at times what a key is tried by, too."""
        found = []
        for operation, part in self._parts():
            request: RequestTemplate = part.request
            at = f"/on-{request.host}" if request.host else ""
            matched = re.fullmatch(re.escape(at) + _pattern(request.path), path)
            if matched is None or request.method != method:
                continue
            groups = {
                name: urllib.parse.unquote(text) for name, text in matched.groupdict().items()
            }
            known = {name: str(value) for name, value in self.settings.items() if name in groups}
            asked = request.json_body if request.form is None else request.form
            literal = {n: v for n, v in request.query.items() if not FIELD.search(v)}
            if (
                all(groups[name] == value for name, value in known.items())
                and all(query.get(name) == value for name, value in literal.items())
                and _fits(asked, body)
            ):
                found.append((operation, part, groups))
        return found

    def _who(
        self, request: RequestTemplate, headers: Mapping[str, str]
    ) -> tuple[Issued | None, int]:
        """The key that asks, if one does; the status of a refusal."""
        given = {name.lower(): value for name, value in headers.items()}
        auth = request.auth or self.entry.api.auth or Auth()
        of_key = KEY in auth.secrets or KEY in request.secrets
        if request is getattr(self.entry.api.token, "request", None):
            return None, 0
        for name, value in {**self.entry.api.headers, **request.headers}.items():
            wanted = self.secrets.get(value.secret, "") if value.secret else value.text
            if value.secret != KEY and not (of_key and value.secret):
                if given.get(name.lower()) != wanted:
                    return None, 401
        if not of_key:
            wanted = _header(auth, {**self.secrets, ACCESS_TOKEN: self.token}, self.settings)
            return None, 0 if all(given.get(n) == v for n, v in wanted.items()) else 401
        for key in self.keys:
            wanted = _header(auth, key.values, self.settings)
            wanted |= {
                name: key.values[value.secret]
                for name, value in request.headers.items()
                if value.secret in key.values
            }
            if wanted and all(given.get(n.lower()) == v for n, v in wanted.items()):
                return key, 0 if self.accepts(key) else self.entry.probe.refused[0]
        return None, 0 if not auth.secrets else self.entry.probe.refused[0]

    # --- what is done ---
    def _do(
        self,
        operation: str,
        part: Any,
        groups: Mapping[str, str],
        query: Mapping[str, str],
        body: Any,
        who: Issued | None,
    ) -> tuple[int, Any]:
        said = copy.deepcopy(part.example)
        match operation:
            case "token":
                self.token = f"access-{len(self.asked)}-{random.randrange(10**9)}"
                return 200, _put(said, part.token, self.token)
            case "create":
                return 201, self._create(part, body)
            case "before":
                return 200, self.amiss.get(self.entry.preflight.index(part), said)
            case "both":
                return 200, self._in_slots(said)
            case "regenerate":
                slot = dict(_filled(part.request.json_body, body))["slot"]
                if slot not in self.in_slots:
                    return 400, {"error": {"message": "there is no such key name"}}
                self.renew(slot)
                return 200, self._in_slots(said)
            case "wait":
                self.polls += 1
                made = self.keys[-1]
                return 200, (
                    self.entry.create[0].example
                    if self.polls % 2
                    else _put(said, self.entry.create[0].answer.id, made.id)
                )
            case "list":
                return 200, self._list(part, query)
            case "probe" if self.entry.whoami is None or who is None:
                return 200, said
            case "probe":
                return 200, _put(said, self.entry.whoami.id, _as("", who.id))
            case "whoami":
                assert who is not None
                return 200, _put(said, part.id, _as(jmespath.search(part.id, said), who.id))
        key = self._meant(part, groups, body) or (who if operation == "revoke" else None)
        if key is None or not key.alive:
            gone = getattr(part, "gone", ())
            return (gone or (404,))[0], {"error": {"message": "there is no such key"}}
        match operation:
            case "then":
                return 200, _put(said, part.secret, key.values[KEY])
            case "read":
                return 200, key.details
            case "deactivate" | "reactivate":
                self._change(key, part, body)
            case _:
                self._revoke(key, groups, body)
        return (200 if said is not None else 204), said

    def _in_slots(self, said: Any) -> Any:
        assert self.entry.slots is not None
        for slot, path in self.entry.slots.names.items():
            said = _put(said, path, self.in_slots[slot].values[KEY])
        return said

    def _create(self, create: Create, body: Any) -> Any:
        template = create.request.json_body if create.request.form is None else create.request.form
        filled = dict(_filled(template, body))
        key = self._issue(create, filled, str(filled["label"]))
        said = copy.deepcopy(create.example)
        answer = create.answer
        if create.wait is None:
            said = _put(said, answer.id, _as(reading.pick(answer.id, said), key.id))
            said = _put(said, answer.secret, key.values[KEY])
        return said

    def _issue(self, create: Create | None, filled: Mapping[str, Any], label: str) -> Issued:
        self.count += 1
        paths = create.answer if create else None
        shown = reading.pick(paths.id, create.example) if create and paths else None
        each = self.entry.list_.each if self.entry.list_ else None
        item: Any = None
        if each is not None and self.entry.list_ is not None:
            item = copy.deepcopy(_items(each.in_, self.entry.list_.example)[0])
            shown = reading.pick(each.id, item)
        key_id = (
            str(1000 + self.count)
            if isinstance(shown, int)
            else (
                f"{shown}{self.count}" if shown else f"{label}{self.count}" * bool(self.entry.slots)
            )
        )
        secret = (
            Examples(self.entry.pattern, random.randrange(10**9)).one()
            if self.entry.pattern
            else _word(32)
        )
        values = {KEY: secret}
        if each is not None:
            item = _put(item, each.id, _as(shown, key_id))
            named = next((p for p in each.label if reading.pick(p, item) is not None), "")
            item = _put(item, named, label)
            item = _put(item, each.hint, _hint(reading.pick(each.hint, item), secret))
            if self.dated is not None:
                item = _put(item, each.created, self.dated)
            if each.owner:
                own = create is None or not create.when
                owner = f"owner{self.count}" if own else self.settings[create.when]  # type: ignore[union-attr]
                item = _put(item, each.owner, owner)
                item = _put(item, each.owner_label, label if own and create else "shared")
            for name, path in each.carried.items():
                item = _put(item, path, filled.get(f"{OLD}{name}", reading.pick(path, item)))
            ends = next((v for n, v in filled.items() if n.startswith("expires.")), None)
            if each.expires and ends is not None:
                item = _put(item, each.expires, ends)
        details = copy.deepcopy(self.entry.read.example) if self.entry.read else None
        for name, path in self.entry.read.carried.items() if self.entry.read else ():
            details = _put(details, path, filled.get(f"{OLD}{name}", reading.pick(path, details)))
        key = Issued(key_id, values, item, details)
        self.keys.append(key)
        return key

    def _list(self, listing: Any, query: Mapping[str, str]) -> Any:
        items = [key.item for key in self.keys if key.alive or self._kept(key)]
        items = [one for one in items if self._id(one) not in self.hidden]
        pages, said = listing.pages, copy.deepcopy(listing.example)
        if pages is None:
            return _put_items(said, listing.each.in_, items)
        size, start = pages.size if pages.offset or pages.number else 100, 0
        if pages.offset:
            start = int(query.get(pages.offset, "0"))
        elif pages.number:
            start = (int(query[pages.number]) - pages.first) * size
        elif pages.cursor and query.get(pages.cursor):
            start = int(query[pages.cursor].rpartition("@")[2])
        elif pages.next and query.get("_page"):
            start = int(query["_page"])
        if self.stands_still:
            start = 0
        shown, more = items[start : start + size], start + size < len(items)
        said = _put_items(said, listing.each.in_, shown)
        mark = f"mark@{start + size}"
        if pages.cursor:
            if pages.more != pages.last:
                said = _put(said, pages.more, more)
            said = _put(said, pages.last, mark if more else None)
        if pages.next:
            path = urllib.parse.quote(listing.request.path)
            following = f"{self.address}{path}?_page={start + size}"
            kept = {n: v for n, v in query.items() if n != "_page"}
            following += f"&{urllib.parse.urlencode(kept)}" if kept else ""
            said = _put(said, pages.next, following if more else None)
        return said

    def _id(self, item: Any) -> str:
        assert self.entry.list_ is not None
        return reading.text(reading.pick(self.entry.list_.each.id, item))

    def _meant(self, part: Any, groups: Mapping[str, str], body: Any) -> Issued | None:
        request: RequestTemplate = part.request
        template = request.json_body if request.form is None else request.form
        filled = dict(_filled(template, body))
        if "owner" in groups:
            each = self.entry.list_.each  # type: ignore[union-attr]
            return next(
                (
                    key
                    for key in self.keys
                    if key.alive and reading.pick(each.owner, key.item) == groups["owner"]
                ),
                None,
            )
        if secret := filled.get(f"secret {KEY}"):
            return next((key for key in self.keys if key.values[KEY] == secret), None)
        meant = groups.get("id") or filled.get("id")
        return self.of(str(meant)) if meant else None

    def _change(self, key: Issued, part: Any, body: Any) -> None:
        if part is None or getattr(part, "shows", None):
            key.item |= part.shows
        elif isinstance(key.item, dict) and isinstance(body, dict):
            key.item |= {name: value for name, value in body.items() if name in key.item}

    def _revoke(self, key: Issued, groups: Mapping[str, str], body: Any) -> None:
        if isinstance(key.item, dict) and isinstance(body, dict):
            key.item |= {name: value for name, value in body.items() if name in key.item}
        key.alive = False

    def _kept(self, key: Issued) -> bool:
        """Whether a dead key is listed still: a file that looks away from such says so."""
        return self.entry.list_ is not None and "[?" in self.entry.list_.each.in_


# --- the server ---
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    issuer: ByExample

    def log_message(self, *_: Any) -> None:
        pass

    def _any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, body, headers, lost = self.issuer.answer(
            self.command, self.path, dict(self.headers.items()), raw
        )
        if lost:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any


@contextlib.contextmanager
def serving(issuer: ByExample) -> Iterator[str]:
    """Its address, while it runs."""
    handler = type("Handler", (_Handler,), {"issuer": issuer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    issuer.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    try:
        yield issuer.address
    finally:
        server.shutdown()
        server.server_close()


# --- templates, read backwards ---
def _read(headers: Mapping[str, str], raw: bytes) -> Any:
    kind = next((v for n, v in headers.items() if n.lower() == "content-type"), "")
    if "form" in kind:
        return dict(urllib.parse.parse_qsl(raw.decode()))
    return json.loads(raw) if raw else None


def _pattern(path: str) -> str:
    parts = re.split(r"(\{\+?\w+\})", path)
    found = ""
    for part in parts:
        named = re.fullmatch(r"\{(\+?)(\w+)\}", part)
        if named:
            found += f"(?P<{named[2]}>{'.+' if named[1] else '[^/]+'})"
        else:
            found += re.escape(part)
    return found


def _fits(template: Any, body: Any) -> bool:
    """Whether a body can be one of this template: its literals are there."""
    if isinstance(template, Mapping) and not secret_named(template):
        return isinstance(body, Mapping) and all(
            _fits(inside, body.get(name)) for name, inside in template.items()
        )
    if isinstance(template, list):
        return isinstance(body, list) and len(body) == len(template)
    return secret_named(template) != "" or template is None or _literal(template, body)


def _literal(template: Any, body: Any) -> bool:
    if isinstance(template, str) and FIELD.search(template):
        return True
    return bool(template == body or str(template) == body)


def _filled(template: Any, body: Any) -> Iterator[tuple[str, Any]]:
    """What the placeholders of a template stand for in this body."""
    if name := secret_named(template):
        yield f"secret {name}", body
    elif isinstance(template, Mapping):
        for name, inside in template.items():
            if isinstance(body, Mapping) and name in body:
                yield from _filled(inside, body[name])
    elif isinstance(template, list):
        for inside, given in zip(template, body, strict=False):
            yield from _filled(inside, given)
    elif isinstance(template, str) and (whole := FIELD.fullmatch(template)):
        yield whole[1], body
    elif isinstance(template, str) and "{label}" in template:
        before, after = template.split("{label}")
        yield "label", str(body).removeprefix(before).removesuffix(after)


def _header(auth: Auth, secrets: Mapping[str, str], plain: Mapping[str, Any]) -> dict[str, str]:
    if auth.basic:
        pair = ":".join(str(plain.get(name) or secrets.get(name, "")) for name in auth.basic)
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if auth.bearer:
        return {"authorization": f"Bearer {secrets.get(auth.bearer, '')}"}
    if auth.header:
        return {auth.header.lower(): f"{auth.prefix}{secrets.get(auth.value, '')}"}
    return {}


# --- JMESPath, written to ---
def _put(data: Any, path: str, value: Any) -> Any:
    """The data with this at the path; untouched where the path is of more than names."""
    if path:
        _assign(data, jmespath.compile(path).parsed, value)
    return data


def _assign(data: Any, node: Mapping[str, Any], value: Any) -> None:
    match node["type"]:
        case "field" if isinstance(data, dict):
            data[node["value"]] = value
        case "subexpression":
            *above, last = node["children"]
            for one in above:
                if not isinstance(data, dict) or one["type"] != "field":
                    return
                data = data.setdefault(one["value"], {})
            _assign(data, last, value)
        case _:
            return


def _place(path: str) -> str:
    """Where the list itself is, of a path that may look away from some of it."""
    return re.split(r"\[\?| \|\|", path)[0] or "@"


def _items(path: str, example: Any) -> list[Any]:
    found = jmespath.search(_place(path), example)
    assert isinstance(found, list) and found, f"the example of a list has no key at {path}"
    return found


def _put_items(data: Any, path: str, items: list[Any]) -> Any:
    return items if _place(path) == "@" else _put(data, _place(path), items)


def _as(shown: Any, text: str) -> Any:
    return int(text) if isinstance(shown, int) and not isinstance(shown, bool) else text


def _hint(shown: Any, secret: str) -> Any:
    """As the example's hint: what it shows of the beginning and of the end."""
    if not isinstance(shown, str):
        return shown
    parts = _MASK.split(shown)
    if len(parts) == 1:
        return secret[-len(shown) :]
    mask = _MASK.search(shown)
    last = len(parts[-1])
    return f"{secret[: len(parts[0])]}{mask[0] if mask else ''}{secret[-last:] if last else ''}"


def _word(length: int) -> str:
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=length))
