"""What can be known of a catalog file before its first request: every word in it means something,
or it is a mistake.

A path that compiles but finds nothing (`label: [titel]`) is proven by the first create: see the
engine.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rotator.clients import patterns
from rotator.durations import seconds_or_number
from rotator.integrations.catalog.entry import (
    BY_HAND,
    END,
    FORMS,
    HEADER,
    KEY,
    LIFETIME,
    OLD,
    OWNED,
)
from rotator.integrations.catalog.proof_requests import SAFE, Asks
from rotator.integrations.catalog.proof_slots import ProofOfSlots
from rotator.integrations.catalog.proof_words import KNOWN_IN, Path_, Wrong, placeholders
from rotator.integrations.catalog.request import secrets_in


def prove(data: Mapping[str, Any], reserved: Iterable[str]) -> list[Wrong]:
    """Every mistake beyond the shape. `reserved` are words that no setting can be called.

    What has not the shape that it should have is passed over: the shape's own mistakes tell of it.
    """
    proof = _Proof(data)
    proof.pattern()
    proof.settings(frozenset(reserved))
    proof.api()
    proof.by_hand()
    proof.creates()
    proof.slots()
    proof.preflight()
    proof.listing()
    proof.one_key()
    proof.switches()
    proof.revocations()
    proof.probe()
    return proof.found


class _Proof(ProofOfSlots):
    """The parts of a file, each of its words looked at by what it stands for."""

    def pattern(self) -> None:
        pattern = self.data.get("pattern")
        if isinstance(pattern, str) and patterns.may_match_blanks(pattern):
            self.wrong(
                ("pattern",),
                "pattern: it matches blanks, too: the words after a key would be blanked out of"
                " messages with it",
                "say what a key consists of, for instance [A-Za-z0-9_-]+",
            )

    def settings(self, reserved: frozenset[str]) -> None:
        for name, entry in self.known.items():
            path = ("settings", name, "=key")
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
                self.wrong(
                    path,
                    f"'{name}' cannot be a setting's name",
                    "letters, digits and _, a letter first",
                )
            elif name in reserved or name in KNOWN_IN or name == OWNED:
                self.wrong(
                    path,
                    f"a setting cannot be called '{name}': the word is taken",
                    f"for instance my_{name}",
                )
            self._typed(name, entry)
            if name in self.secrets and entry.get("default") is not None:
                self.wrong(
                    ("settings", name, "default"),
                    "a secret written out",
                    "leave the default out, or say null",
                )

    def _typed(self, name: str, entry: Mapping[str, Any]) -> None:
        kind, default = entry.get("type", "text"), entry.get("default")
        path: Path_ = ("settings", name)
        if name in self.secrets and kind != "text":
            self.wrong((*path, "type"), "a secret is a text", "leave the type out")
        if name == LIFETIME and kind != "duration":
            self.wrong((*path, "=key"), "`lifetime` is a duration", "type: duration")
        if default is not None and isinstance(kind, str) and not _is_of(kind, default):
            self.wrong((*path, "default"), f"the default is no {kind}", "or is the type another?")

    def api(self) -> None:
        base = self._map("api").get("base")
        if isinstance(base, str):
            self._base(("api", "base"), base, "https://… (or null: `base_url` is required)")
        for name, address in self._map("api", "hosts").items():
            if isinstance(address, str):
                self._base(("api", "hosts", name), address, "https://…")
            if f"{name}_url" in self.known:
                self.wrong(
                    ("api", "hosts", name, "=key"),
                    f"'{name}_url' is a setting already",
                    "give the host another name",
                )
        self._token()
        self._auth(("api", "auth"), Asks.ADMIN)
        self._headers(("api", "headers"), Asks.ADMIN)
        asked = [self._map(name) for name in ("list", "read", "deactivate", "reactivate")]
        asked += [self._map("slots", name) for name in ("read", "regenerate")]
        for name in ("create", "revoke", "preflight"):
            asked += [self._map(name, at) for at in range(len(self._list(name)))]
        requests = [one["request"] for one in asked if isinstance(one.get("request"), Mapping)]
        if (
            any("auth" not in request for request in requests)
            and self._map("api")
            and "auth" not in self._map("api")
        ):
            self.wrong(("api",), "'auth' is missing in api", "auth: {bearer: NAME}")

    def _base(self, path: Path_, base: str, hint: str) -> None:
        if not base.startswith(("https://", "http://")):
            self.wrong(path, f"'{base}' is no address", hint)
        elif re.search(r"[{}?#\s]", base):
            self.wrong(
                path, "an address without { }, ? and #", "settings stand in the requests' paths"
            )

    def _by_hand(self, name: str) -> bool:
        """Whether a person does it. A word that is not the one for that is a mistake."""
        value = self.data.get(name)
        if isinstance(value, str) and value != BY_HAND:
            self.found.append(
                Wrong((name,), f"{name}: '{value}' is no list of requests", "", value, (BY_HAND,))
            )
        if value == []:
            self.wrong((name,), f"{name}: nothing does it", f"say `{name}: {BY_HAND}`")
        return value == BY_HAND

    def by_hand(self) -> None:
        """What is said of a person's part, and of access without a key."""
        for name in ("create", "revoke"):
            steps = self._list("steps", name)
            if self._by_hand(name):
                if not self.data.get("console"):
                    self.wrong(
                        (name, "=key"),
                        "where a person does it stands nowhere",
                        "console: https://…",
                    )
            elif steps:
                self.wrong(("steps", name, "=key"), f"no person does it: `{name}` has requests", "")
        federation = self._map("federation")
        if federation.get("offered") is True and not federation.get("docs"):
            self.wrong(
                ("federation",), "'docs' is missing: where it is described", "docs: https://…"
            )

    def creates(self) -> None:
        listed = isinstance(self.data.get("list"), Mapping)
        by_label = listed and self.data.get("recovery", "label") == "label"
        last = len(self._list("create")) - 1
        for index in range(last + 1):
            path = ("create", index)
            case = self._map(*path)
            when = str(case.get("when") or "")
            self._when(path, ())
            known = self._taken_over()
            self._request((*path, "request"), {"label"}, when, Asks.EITHER, known)
            self._steps(path, when, known | {"label"})
            self._ends((*path, "request"))
            if not when and index < last:
                self.wrong(
                    path,
                    "no create after this one is ever used",
                    "give it a `when:`, or put it last",
                )
            self._answer(path)
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
            if method := next((name for name in request if name in SAFE), ""):
                self.wrong(
                    (*path, "request", method, "=key"),
                    f"a create is never {method}",
                    "it would be sent twice",
                )
            sent = placeholders(request)
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

    def _answer(self, path: Path_) -> None:
        """Where the key's value is: in the answer, or in that of `then`."""
        self._paths((*path, "answer"), needed=())
        answer, then = self._map(*path, "answer"), self._map(*path, "then")
        if answer and not answer.get("secret") and not then:
            self.wrong(
                (*path, "answer"), "'secret' is missing: the new key's value", "answer: {secret: …}"
            )
        if answer.get("secret") and then:
            self.wrong((*path, "answer", "secret", "=key"), "`then` shows the key's value", "")

    def _steps(self, path: Path_, when: str, known: set[str]) -> None:
        """What comes after the request of a create, and what it needs."""
        if self._map(*path, "wait"):
            self._request((*path, "wait", "request"), {"handle"}, when)
            self._paths((*path, "wait"), needed=("handle", "done"))
        if self._map(*path, "then"):
            self._request((*path, "then", "request"), {"id"}, when)
            self._paths((*path, "then"), needed=("secret",))
            self._says_which((*path, "then", "request"))
        known = known | self.plain
        for index, name in enumerate(self._list(*path, "needs")):
            if isinstance(name, str) and name not in known:
                text, words = f"{name} stands for nothing", tuple(sorted(known))
                self.found.append(Wrong((*path, "needs", index), text, "", name, words))

    def _carried(self) -> set[str]:
        """What is known of a key that exists."""
        names = (*self._map("list", "each", "carried"), *self._map("read", "carried"))
        return {f"{OLD}{name}" for name in names}

    def _taken_over(self) -> set[str]:
        """What a create may say of the old key."""
        return self._carried() | {f"{END}{form}" for form in FORMS}

    def _ends(self, path: Path_) -> None:
        each = self._map("list", "each")
        if (
            LIFETIME not in self.known
            and any(name.startswith(END) for name in placeholders(self._map(*path)))
            and not (each.get("expires") and each.get("created"))
        ):
            text = "when the old key ends, and since when it lives, stands nowhere"
            self.wrong(path, text, f"{{{END}…}} needs list: {{each: {{created: …, expires: …}}}}")

    def _names(self, name: str) -> bool:
        """Whether a request about one key uses this placeholder."""
        parts = [self.data.get(part) for part in ("revoke", "deactivate", "reactivate")]
        return any(name in placeholders(part) for part in parts)

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
        self._names_of_carried(("list", "each", "carried"))
        labels = self._list("list", "each", "label")
        for index, path in enumerate(labels):
            self._jmespath(("list", "each", "label", index), path, needed=True)
        by_label = self.data.get("recovery", "label") == "label" and self._list("create")
        if each and "label" not in each and by_label:
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

    def _names_of_carried(self, path: Path_) -> None:
        for name, where in self._map(*path).items():
            self._jmespath((*path, name), where, needed=True)
            if not (isinstance(name, str) and name.isidentifier()):
                self.wrong(
                    (*path, name, "=key"),
                    f"'{name}' cannot be a name",
                    "letters, digits and _, a letter first",
                )

    def one_key(self) -> None:
        """What is asked about one key, or by one."""
        if self._map("read"):
            self._request(("read", "request"), {"id"}, "", Asks.EITHER)
            self._says_which(("read", "request"))
            self._names_of_carried(("read", "carried"))
        if self._map("whoami"):
            self._request(("whoami", "request"), set(), "", Asks.KEY)
            self._paths(("whoami",), needed=("id",))
            self._sends_the_key(("whoami", "request"))

    def _pages(self) -> None:
        path: Path_ = ("list", "pages")
        pages = self._map(*path)
        if not pages:
            return
        ways = [way for way in ("cursor", "offset", "number", "next") if way in pages]
        if len(ways) != 1:
            self.wrong(
                path,
                "pages go by `cursor` (with `last` and `more`), or by `offset` or `number` (with"
                " `size`), or by `next`",
            )
        for name in ("last", "more"):
            if "cursor" in pages and not pages.get(name):
                self.wrong(
                    path,
                    f"'{name}' is missing: pages go by a cursor",
                    "cursor, last and more go together",
                )
        for name in ("last", "more", "next"):
            if name in pages:
                self._jmespath((*path, name), pages[name], needed=True)

    def switches(self) -> None:
        for name, other in (("deactivate", "reactivate"), ("reactivate", "deactivate")):
            if not self._map(name):
                continue
            self._request((name, "request"), {"id"}, "", Asks.EITHER, self._carried())
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
            known = {"id", "owner"} if owned else {"id"}
            self._request((*path, "request"), known, when, Asks.EITHER)
            self._says_which((*path, "request"))

    def _says_which(self, path: Path_) -> None:
        request = self._map(*path)
        if request and not placeholders(request) & {"id", "owner"} and not _sends_key(request):
            self.wrong(
                path, "it does not say which key is meant", "put {id} into the path or the body"
            )

    def probe(self) -> None:
        if "probe" not in self.data and self.data.get("create") != BY_HAND:
            self.wrong((), "'probe' is missing in the file", "compare it with a shipped one")
        path: Path_ = ("probe", "request")
        self._request(path, set(), "", Asks.KEY)
        self._sends_the_key(path)
        self._paths(("probe",), needed=())
        if self._at(("probe", "refused")) == []:
            self.wrong(
                ("probe", "refused"), "no status means that a key is refused", "for instance [401]"
            )
        for name, where in self._map("probe", "identity").items():
            if isinstance(where, str) and not where.startswith(HEADER):
                self._jmespath(("probe", "identity", name), where, needed=True)

    def _sends_the_key(self, path: Path_) -> None:
        if (request := self._map(*path)) and not _sends_key(request):
            self.wrong(
                path,
                f"the {path[0]} does not say how the key is sent",
                "for instance auth: {bearer: key}",
            )


def _sends_key(request: Mapping[str, Any]) -> bool:
    """Whether the key's value goes with it: who asks, in a body, in a header."""
    auth = request.get("auth")
    who = auth if isinstance(auth, Mapping) else {}
    pair = who.get("basic")
    names = [who.get("bearer"), who.get("value"), *(pair if isinstance(pair, list) else ())]
    return KEY in names or KEY in secrets_in(
        [request.get("json"), request.get("form"), request.get("headers")]
    )


def _is_of(kind: str, value: Any) -> bool:
    """Whether a default is of the type that its setting has."""
    if kind == "duration":
        try:
            seconds_or_number(value)
        except ValueError:
            return False
        return True
    wanted = {"list": list, "map": dict, "bool": bool, "text": str, "integer": int}
    if kind != "bool" and isinstance(value, bool):
        return False
    return isinstance(value, wanted.get(kind, (int, float)))
