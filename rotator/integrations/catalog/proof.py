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

from rotator.integrations.catalog.entry import BY_HAND, END, FORMS, HEADER, OLD, OWNED
from rotator.integrations.catalog.proof_words import (
    KNOWN_IN,
    Path_,
    ProofOfWords,
    Wrong,
    placeholders,
)

_SAFE = ("GET", "HEAD")  # asked twice where the connection is lost


def prove(data: Mapping[str, Any], reserved: Iterable[str]) -> list[Wrong]:
    """Every mistake beyond the shape. `reserved` are words that no setting can be called.

    What has not the shape that it should have is passed over: the shape's own mistakes tell of it.
    """
    proof = _Proof(data)
    proof.settings(frozenset(reserved))
    proof.api()
    proof.by_hand()
    proof.creates()
    proof.listing()
    proof.switches()
    proof.revocations()
    proof.probe()
    return proof.found


class _Proof(ProofOfWords):
    """The parts of a file, each of its words looked at by what it stands for."""

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
        self._headers(("api", "headers"), False)
        asks = any(self._map(name) or self._list(name) for name in ("create", "list", "revoke"))
        if asks and self._map("api") and "auth" not in self._map("api"):
            self.wrong(("api",), "'auth' is missing in api", "auth: {bearer: NAME}")

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

    def _taken_over(self) -> set[str]:
        """What a create may say of the old key."""
        carried = self._map("list", "each", "carried")
        return {f"{OLD}{name}" for name in carried} | {f"{END}{form}" for form in FORMS}

    def _ends(self, path: Path_) -> None:
        each = self._map("list", "each")
        if any(name.startswith(END) for name in placeholders(self._map(*path))) and not (
            each.get("expires") and each.get("created")
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
        if (request := self._map(*path)) and not placeholders(request) & {"id", "owner"}:
            self.wrong(
                path, "it does not say which key is meant", "put {id} into the path or the body"
            )

    def probe(self) -> None:
        if "probe" not in self.data and self.data.get("create") != BY_HAND:
            self.wrong((), "'probe' is missing in the file", "compare it with a shipped one")
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
        for name, where in self._map("probe", "identity").items():
            if isinstance(where, str) and not where.startswith(HEADER):
                self._jmespath(("probe", "identity", name), where, needed=True)
