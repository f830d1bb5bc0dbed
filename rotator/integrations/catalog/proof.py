"""What can be known of a catalog file before its first request: every word in it means something,
or it is a mistake.

A path that compiles but finds nothing (`label: [titel]`) is proven by the first create: see the
engine.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jmespath
from jmespath.functions import Functions

from rotator.integrations.catalog.entry import END, FORMS, HEADER, OLD, OWNED

Path_ = tuple[str | int, ...]
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_SAFE = ("GET", "HEAD")  # asked twice where the connection is lost
_BRACED = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a header's name: RFC 9110, 5.1
_KNOWN_IN = {
    "label": "in a create",
    "id": "in deactivate, reactivate and revoke",
    "owner": f"in a revoke with `when: {OWNED}`",
    "key": "in the auth of the probe",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """A mistake at a path of the file's data; `word` is what was meant to be one of `known`."""

    path: Path_
    text: str
    hint: str = ""
    word: str = ""
    known: tuple[str, ...] = ()


def prove(data: Mapping[str, Any], reserved: Iterable[str]) -> list[Wrong]:
    """Every mistake beyond the shape. `reserved` are words that no setting can be called.

    What has not the shape that it should have is passed over: the shape's own mistakes tell of it.
    """
    proof = _Proof(data)
    proof.settings(frozenset(reserved))
    proof.api()
    proof.creates()
    proof.listing()
    proof.switches()
    proof.revocations()
    proof.probe()
    return proof.found


@dataclass
class _Proof:
    data: Mapping[str, Any]
    found: list[Wrong] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = {
            name: entry
            for name, entry in self._map("settings").items()
            if isinstance(entry, Mapping)
        }
        self.known = known
        self.secrets = {name for name, entry in known.items() if entry.get("secret") is True}
        self.plain = known.keys() - self.secrets
        absent = {name for name, entry in known.items() if entry.get("default") is None}
        self.optional = {
            name for name in absent if not known[name].get("required", "default" not in known[name])
        }

    def wrong(self, path: Path_, text: str, hint: str = "") -> None:
        self.found.append(Wrong(path, text, hint))

    def _map(self, *path: str | int) -> Mapping[str, Any]:
        value = self._at(path)
        return value if isinstance(value, Mapping) else {}

    def _list(self, *path: str | int) -> Sequence[Any]:
        value = self._at(path)
        return value if isinstance(value, list) else []

    def _at(self, path: Path_) -> Any:
        value: Any = self.data
        for part in path:
            if isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        return value

    # --- the parts of a file ---
    def settings(self, reserved: frozenset[str]) -> None:
        for name, entry in self.known.items():
            path = ("settings", name, "=key")
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
                self.wrong(
                    path,
                    f"'{name}' cannot be a setting's name",
                    "letters, digits and _, a letter first",
                )
            elif name in reserved or name in _KNOWN_IN or name == OWNED:
                self.wrong(
                    path,
                    f"a setting cannot be called '{name}': the word is taken",
                    f"for instance my_{name}",
                )
            if name in self.secrets and entry.get("default") is not None:
                self.wrong(
                    ("settings", name, "default"),
                    "a secret written out",
                    "leave the default out, or say null",
                )

    def api(self) -> None:
        base = self._map("api").get("base")
        if isinstance(base, str):
            if not base.startswith(("https://", "http://")):
                self.wrong(
                    ("api", "base"),
                    f"'{base}' is no address",
                    "https://… (or null: `base_url` is required)",
                )
            elif re.search(r"[{}?#\s]", base):
                self.wrong(
                    ("api", "base"),
                    "an address without { }, ? and #",
                    "settings stand in the requests' paths",
                )
        self._auth(("api", "auth"), probe=False)

    def creates(self) -> None:
        listed = isinstance(self.data.get("list"), Mapping)
        by_label = listed and self.data.get("recovery", "label") == "label"
        last = len(self._list("create")) - 1
        for index in range(last + 1):
            path = ("create", index)
            case = self._map(*path)
            when = str(case.get("when") or "")
            self._when(path, ())
            self._request((*path, "request"), {"label"}, when, taken_over=self._taken_over())
            self._ends((*path, "request"))
            if not when and index < last:
                self.wrong(
                    path,
                    "no create after this one is ever used",
                    "give it a `when:`, or put it last",
                )
            self._paths((*path, "answer"), needed=("secret",))
            if (
                self._map(*path, "answer")
                and not case["answer"].get("id")
                and (listed or self._names("id"))
            ):
                why = "it is looked for in the list by it" if listed else "it is revoked by it"
                self.wrong(
                    (*path, "answer"),
                    "'id' is missing: the new key's id",
                    f"answer: {{id: …}}; {why}",
                )
            request = self._map(*path, "request")
            if method := next((name for name in request if name in _SAFE), ""):
                self.wrong(
                    (*path, "request", method, "=key"),
                    f"a create is never {method}",
                    "it would be sent twice",
                )
            sent = _placeholders(request)
            if (
                by_label
                and request
                and "label" not in sent
                and not difflib.get_close_matches("label", sent)
            ):
                self.wrong(
                    (*path, "request"),
                    "the label is not sent, so a create whose answer was lost is never found again",
                    "put '{label}' where the key's name goes, for instance json: {name: '{label}'};"
                    " or say `recovery: difference`",
                )

    def _taken_over(self) -> set[str]:
        """What a create may say of the old key."""
        carried = self._map("list", "each", "carried")
        return {f"{OLD}{name}" for name in carried} | {f"{END}{form}" for form in FORMS}

    def _ends(self, path: Path_) -> None:
        each = self._map("list", "each")
        if any(name.startswith(END) for name in _placeholders(self._map(*path))) and not (
            each.get("expires") and each.get("created")
        ):
            text = "when the old key ends, and since when it lives, stands nowhere"
            self.wrong(path, text, f"{{{END}…}} needs list: {{each: {{created: …, expires: …}}}}")

    def _names(self, name: str) -> bool:
        """Whether a request about one key uses this placeholder."""
        parts = [self.data.get(part) for part in ("revoke", "deactivate", "reactivate")]
        return any(name in _placeholders(part) for part in parts)

    def listing(self) -> None:
        listing = self._map("list")
        tells = bool(self._map("list", "each").get("last_used"))
        if tells and not isinstance(self.data.get("last_used"), Mapping):
            self.wrong(
                ("list", "each", "last_used"),
                "how late the last use is told stands nowhere",
                "last_used: {granularity: SECONDS}, as documented or measured",
            )
        if isinstance(self.data.get("last_used"), Mapping) and not tells:
            self.wrong(
                ("last_used", "=key"),
                "where the list tells the last use stands nowhere",
                "list: {each: {last_used: …}}, or leave `last_used` out: then grace alone protects"
                " an old key",
            )
        if not listing:
            return
        self._request(("list", "request"), set(), "")
        self._paths(("list", "each"), needed=("in", "id"))
        each = self._map("list", "each")
        for name, where in self._map("list", "each", "carried").items():
            self._jmespath(("list", "each", "carried", name), where, needed=True)
            if not (isinstance(name, str) and name.isidentifier()):
                path = ("list", "each", "carried", name, "=key")
                self.wrong(
                    path, f"'{name}' cannot be a name", "letters, digits and _, a letter first"
                )
        labels = self._list("list", "each", "label")
        for index, path in enumerate(labels):
            self._jmespath(("list", "each", "label", index), path, needed=True)
        if each and "label" not in each and self.data.get("recovery", "label") == "label":
            self.wrong(
                ("list", "each"),
                "'label' is missing: where the list shows the name that a create gave",
                "label: [name]; if the list shows none, say `recovery: difference`",
            )
        if bool(each.get("owner")) != bool(each.get("owner_label")):
            self.wrong(
                ("list", "each"), "`owner` and `owner_label` go together", "give both, or none"
            )
        self._pages()

    def _pages(self) -> None:
        path: Path_ = ("list", "pages")
        pages = self._map(*path)
        if not pages:
            return
        if ("cursor" in pages) == ("offset" in pages):
            self.wrong(
                path, "pages go by `cursor` (with `last` and `more`) or by `offset` (with `size`)"
            )
        for name in ("last", "more"):
            if "cursor" in pages and not pages.get(name):
                self.wrong(
                    path,
                    f"'{name}' is missing: pages go by a cursor",
                    "cursor, last and more go together",
                )
            elif name in pages:
                self._jmespath((*path, name), pages[name], needed=True)

    def switches(self) -> None:
        for name, other in (("deactivate", "reactivate"), ("reactivate", "deactivate")):
            if not self._map(name):
                continue
            self._request((name, "request"), {"id"}, "")
            self._says_which((name, "request"))
            if not self._map(other):
                self.wrong(
                    (name, "=key"),
                    f"`{name}` without `{other}`",
                    "what is done must be able to be undone",
                )

    def revocations(self) -> None:
        owners = bool(self._map("list", "each").get("owner"))
        for index in range(len(self._list("revoke"))):
            path = ("revoke", index)
            owned = self._map(*path).get("when") == OWNED
            if owned and not owners:
                self.wrong(
                    (*path, "when"),
                    "whose a key is stands nowhere",
                    "list: {each: {owner: …, owner_label: …}}",
                )
            self._when(path, (OWNED,))
            when = str(self._map(*path).get("when") or "")
            self._request((*path, "request"), {"id", "owner"} if owned else {"id"}, when)
            self._says_which((*path, "request"))

    def _says_which(self, path: Path_) -> None:
        if (request := self._map(*path)) and not _placeholders(request) & {"id", "owner"}:
            self.wrong(
                path, "it does not say which key is meant", "put {id} into the path or the body"
            )

    def probe(self) -> None:
        path: Path_ = ("probe", "request")
        self._request(path, set(), "", probe=True)
        if self._map(*path) and not self._map(*path).get("auth"):
            self.wrong(
                path,
                "the probe does not say how the key is sent",
                "for instance auth: {bearer: key}",
            )
        if self._at(("probe", "refused")) == []:
            self.wrong(
                ("probe", "refused"), "no status means that a key is refused", "for instance [401]"
            )
        for name, found in self._map("probe", "identity").items():
            if isinstance(found, str) and not found.startswith(HEADER):
                self._jmespath(("probe", "identity", name), found, needed=True)

    # --- what stands in them ---
    def _when(self, path: Path_, more: tuple[str, ...]) -> None:
        when = self._map(*path).get("when")
        known = (*sorted(self.optional - self.secrets), *more)
        if not isinstance(when, str) or when in known:
            return
        if when in self.known:
            self.wrong(
                (*path, "when"),
                f"'{when}' is always given",
                "`when` names a setting whose default is null",
            )
        else:
            text = f"there is no setting '{when}' with default null"
            self.found.append(Wrong((*path, "when"), text, "", when, known))

    def _auth(self, path: Path_, probe: bool) -> None:
        auth = self._map(*path)
        if not auth:
            if path == ("api", "auth") and self._at(path) == {}:
                self.wrong(
                    path,
                    "nothing to authenticate with",
                    "auth: {bearer: NAME} or {header: NAME, value: NAME}",
                )
            return
        if ("bearer" in auth) == ("header" in auth) or ("header" in auth) != ("value" in auth):
            self.wrong(path, "auth is `bearer: NAME`, or `header: X-…` with `value: NAME`")
        header = auth.get("header")
        if isinstance(header, str) and not _TOKEN.fullmatch(header):
            self.wrong(
                (*path, "header"), f"'{header}' is no name of a header", "for instance X-API-Key"
            )
        for part in ("bearer", "value"):
            if isinstance(auth.get(part), str):
                self._secret((*path, part), auth[part], probe)

    def _secret(self, path: Path_, name: str, probe: bool) -> None:
        known = ("key",) if probe else tuple(sorted(self.secrets))
        if name in known:
            if name in self.optional:
                self.wrong(
                    path, f"'{name}' need not be given, yet this needs it", "leave its default out"
                )
        elif name == "key":
            self.wrong(
                path,
                "only the probe authenticates with `key`",
                "here the administrator's credential asks",
            )
        elif name in self.plain:
            self.wrong(
                path, f"'{name}' is no secret setting", f"settings: {{{name}: {{secret: true}}}}"
            )
        elif probe:
            self.wrong(path, f"the probe tries the key itself, not '{name}'", "say `key`")
        else:
            self.found.append(Wrong(path, f"there is no secret setting '{name}'", "", name, known))

    def _request(
        self,
        path: Path_,
        context: set[str],
        when: str,
        probe: bool = False,
        taken_over: Collection[str] = (),
    ) -> None:
        request = self._map(*path)
        for name, value in request.items():
            if not name.isupper():
                continue
            if name not in _METHODS:
                self.found.append(
                    Wrong((*path, name, "=key"), f"{name} is no method of HTTP", "", name, _METHODS)
                )
            if isinstance(value, str):
                self._address((*path, name), value, context, when)
        for name, value in self._map(*path, "query").items():
            self._placeholders((*path, "query", name), value, context.union(taken_over))
        self._body((*path, "json"), request.get("json"), context.union(taken_over))
        self._auth((*path, "auth"), probe)

    def _address(self, path: Path_, text: str, context: set[str], when: str) -> None:
        if not text.startswith("/") or re.search(r"[?#\s]", text):
            self.wrong(
                path,
                f"'{text}' is no path",
                "it begins with /; what comes after ? goes into `query`",
            )
        if {".", ".."} & set(text.split("/")):
            self.wrong(path, "'.' and '..' lead to another address", "write the path plainly")
        if re.search(r"[{}]", _BRACED.sub("", text)):
            self.wrong(path, "a brace without its other half", "{name} stands for a value")
        self._placeholders(path, text, context)
        for name in _placeholders(text) & self.optional - {when}:
            self.wrong(
                path,
                f"{{{name}}} is part of the path, but need not be given",
                f"say `when: {name}`",
            )

    def _body(self, path: Path_, value: Any, context: set[str]) -> None:
        if isinstance(value, Mapping):
            for name, inside in value.items():
                self._body((*path, name), inside, context)
        elif isinstance(value, list):
            for index, inside in enumerate(value):
                self._body((*path, index), inside, context)
        else:
            self._placeholders(path, value, context)

    def _placeholders(self, path: Path_, value: Any, context: set[str]) -> None:
        for name in _BRACED.findall(value) if isinstance(value, str) else ():
            known = tuple(sorted(context | self.plain))
            if name in known:
                continue
            if name in self.secrets or name == "key":
                self.wrong(
                    path,
                    f"{{{name}}} is a secret: it would stand in logs",
                    "secrets stand in `auth` alone",
                )
            elif name in _KNOWN_IN:
                self.wrong(path, f"{{{name}}} is not known here", f"it is known {_KNOWN_IN[name]}")
            else:
                hint = "" if difflib.get_close_matches(name, known, 1, 0.6) else _in_words(known)
                self.found.append(Wrong(path, f"{{{name}}} stands for nothing", hint, name, known))

    def _paths(self, path: Path_, needed: tuple[str, ...]) -> None:
        for name, value in self._map(*path).items():
            if isinstance(value, str):
                self._jmespath((*path, name), value, name in needed)

    def _jmespath(self, path: Path_, text: Any, needed: bool) -> None:
        if not isinstance(text, str) or (not text and not needed):
            return
        try:
            parsed = jmespath.compile(text).parsed
        except jmespath.exceptions.JMESPathError as error:
            reason = str(error).split("\n")[0].split(", for expression")[0].removesuffix(":")
            self.wrong(
                path, f"`{text}` is no JMESPath: {reason}", "see jmespath.org; `a.b` is b within a"
            )
            return
        for name in _functions(parsed):
            if name not in Functions.FUNCTION_TABLE:
                known = tuple(sorted(Functions.FUNCTION_TABLE))
                self.found.append(
                    Wrong(path, f"JMESPath has no function {name}()", "", name, known)
                )


def _placeholders(value: Any) -> set[str]:
    """The names in braces in all of it, the parts about authentication left out."""
    if isinstance(value, str):
        return set(_BRACED.findall(value))
    if isinstance(value, Mapping):
        return set().union(
            *(_placeholders(inside) for name, inside in value.items() if name != "auth")
        )
    return set().union(*map(_placeholders, value)) if isinstance(value, list) else set()


def _functions(parsed: Mapping[str, Any]) -> Iterator[str]:
    if parsed["type"] == "function_expression":
        yield parsed["value"]
    for child in parsed["children"]:
        if isinstance(child, Mapping):
            yield from _functions(child)


def _in_words(known: Sequence[str]) -> str:
    return (
        f"known here are {', '.join(f'{{{name}}}' for name in known)}"
        if known
        else "nothing is known here"
    )
