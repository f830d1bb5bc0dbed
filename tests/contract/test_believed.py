"""What a catalog provider believes of an issuer that answers oddly; the issuer is real, and what it
holds is asked.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    ConfigError,
    OutcomeUnknown,
    PermanentError,
    QuotaExceeded,
    Rejected,
    RotatorError,
    TransientError,
    Unreadable,
)
from rotator.integrations.catalog.entry import Listing
from rotator.integrations.catalog.listing import pages as pages_of_keys
from rotator.model import Credential, Label, single
from rotator.playbook import catalog
from rotator.reference import Reference
from tests.servers import issuers

LABEL = Label("inst", "play", "01ROTATION", 1)
CATALOG = """\
name: Odd
console: https://odd.example/keys
docs: https://odd.example/docs
pattern: 'odd-[a-z0-9]{20}'
settings:
  admin: {secret: true}
api: {base: null, auth: {header: x-admin, value: admin}}
create:
  - request: {POST: /keys, json: {name: '{label}'}}
    answer: {secret: made.key, id: made.id, created: made.created, expires: made.expires}
list:
  request: {GET: /keys}
  each:
    {in: keys, id: id, label: [name], hint: hint, created: created, expires: expires, last_used: used, active: active}
last_used: {granularity: 90}
propagation: 4
revoke:
  - request: {DELETE: '/keys/{id}'}
    gone: [404, 410]
probe:
  request: {GET: /me, auth: {header: x-key, value: key}}
  refused: [401]
  identity: {team: team, all: 'sort(ids)'}
"""
Twist = Callable[["Odd", Any], Any]


class Odd(issuers._Issuer):
    """Keys by id. `twists` change the answer to an operation, after the work was done."""

    twists: dict[str, Twist]
    calls: list[str]

    def said(self, operation: str, status: int, body: Any) -> None:
        self.calls.append(f"{self.command} {self.path}")
        twist, headers = self.twists.get(operation), {}
        if twist is not None:
            found = twist(self, body)
            status, body, *more = found if isinstance(found, tuple) else (status, found)
            headers = more[0] if more else headers
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self) -> None:
        number = len(self.keys) + 1
        key = {"id": f"k{number}", "key": f"odd-{number:020}", "name": self.body()["name"]}
        self.keys[key["id"]] = key
        self.said("create", 201, {"made": {"key": key["key"], "id": key["id"]}})

    def do_GET(self) -> None:
        if self.route == ["me"]:
            live = self.headers["x-key"] in [key["key"] for key in self.keys.values()]
            return self.said("probe", 200 if live else 401, {"team": "t", "ids": ["a"]})
        shown = [
            {name: found for name, found in key.items() if name != "key"}
            for key in self.keys.values()
        ]
        return self.said("list", 200, {"keys": shown})

    def do_DELETE(self) -> None:
        gone = self.keys.pop(self.route[-1], None)
        self.said("delete", 200 if gone else 404, {})


class Provided:
    """A provider by a catalog file, its issuer's state, and what is twisted there."""

    def __init__(self, folder: Path, url: str, handler: type[Odd], changes: dict[str, str]) -> None:
        self.keys, self.twists, self.calls = handler.keys, handler.twists, handler.calls
        text = CATALOG
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        (folder / "odd.yaml").write_text(text)
        (folder / "admin").write_text("admin-credential")
        self.admin = folder / "admin"
        made = catalog.provider(folder / "odd.yaml")
        self.provider: Any = made(base_url=url, admin=Reference("file", str(self.admin)))  # type: ignore[call-arg]

    def refused(
        self, act: Callable[[], Any], kind: type[RotatorError], match: str | None = None
    ) -> RotatorError:
        with pytest.raises(kind, match=match) as told:
            act()
        for key in self.keys.values():
            assert key["key"] not in told.value.message + told.value.hint, (
                "a message that tells a key"
            )
        return told.value


Make = Callable[..., Provided]


@pytest.fixture
def provided(tmp_path: Path) -> Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(**changes: str) -> Provided:
            handler = type("Handler", (Odd,), {"keys": {}, "twists": {}, "calls": []})
            url = stack.enter_context(issuers.serving(handler))
            return Provided(tmp_path, url, handler, changes.get("entry") or {})  # type: ignore[arg-type]

        yield make


def without_list(text: str = CATALOG) -> dict[str, str]:
    start, end = text.index("list:"), text.index("propagation:")
    return {text[start:end]: ""}


# --- a create: the secret is in hand ---
ODD_FIELDS: dict[str, Any] = {
    "RFC 2822": "Sun, 01 Nov 2026 12:00:00 +0000",
    "milliseconds": 1793534400000,
    "a text of seconds": "1793534400",
    "the year one": "0001-01-01T00:00:00Z",
    "nonsense": "soon",
    "a number": 7,
    "null": None,
    "an object": {"a": 1},
    "a list": ["2026"],
    "true": True,
    "a huge number": 10**400,
    "half a character": "\ud800",
}


@pytest.mark.parametrize("field", ["id", "created", "expires"])
@pytest.mark.parametrize("odd", ODD_FIELDS)
def test_no_odd_field_costs_the_key(odd: str, field: str, provided: Make) -> None:
    found = provided()
    found.twists["create"] = lambda _, body: {"made": {**body["made"], field: ODD_FIELDS[odd]}}
    made = found.provider.generate(LABEL, None)
    assert made.primary.reveal() == found.keys["k1"]["key"]
    usable = odd not in ("null", "an object", "a list", "true", "a huge number", "half a character")
    assert made.id == ((str(ODD_FIELDS[odd]) if usable else "") if field == "id" else "k1")


UNREADABLE: dict[str, tuple[Twist, str]] = {
    "another shape": (
        lambda _, body: {"key": body["made"]["key"], "data": 1},
        "`made.key`.*its fields are key, data",
    ),
    "null": (
        lambda _, body: {"made": {"key": None}, "status": "ok"},
        r"nothing at `made.key` \(answer.secret\)",
    ),
    "an object": (lambda _, body: {"made": {"key": body["made"]}}, "an object at `made.key`"),
    "a number": (lambda _, body: {"made": {"key": 17}}, "a number at `made.key`"),
    "a list": (lambda _, body: [body], "the answer is a list"),
    "empty": (lambda _, body: b"", "the answer is empty"),
    "blank": (lambda _, body: b"  \n", "the answer is empty"),
    "cut short": (lambda _, body: json.dumps(body).encode()[:-5], "not JSON"),
    "a page": (lambda _, body: f"<pre>{body['made']['key']}</pre>".encode(), "not JSON"),
    "an empty key": (lambda _, body: {"made": {"key": ""}}, "it is empty"),
    "blanks inside": (lambda _, body: {"made": {"key": "odd key"}}, "there are blanks"),
    "a line's end": (
        lambda _, body: {"made": {"key": body["made"]["key"] + "\n"}},
        "there are blanks or line breaks",
    ),
    "not ASCII": (lambda _, body: {"made": {"key": "odd-ä"}}, "not ASCII"),
    "half a character": (lambda _, body: {"made": {"key": "odd-\ud800"}}, "not ASCII"),
    "a control character": (lambda _, body: {"made": {"key": "odd-\x00"}}, "control characters"),
    "a bad request": (
        lambda _, body: (400, {"error": f"bad, not stored {body['made']['key']}"}),
        "answered 400",
    ),
    "a conflict": (lambda _, body: (409, {"error": "busy"}), "answered 409"),
    "elsewhere": (lambda _, body: (303, {}), "redirects"),
    "a status of nobody": (lambda _, body: (499, {}), "answered 499"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_create_that_cannot_be_read_made_a_key_that_the_list_finds(
    case: str, provided: Make
) -> None:
    """It is not "nothing was changed", and not asked again: what it left is found by the label."""
    twist, words = UNREADABLE[case]
    found = provided()
    found.twists["create"] = twist
    found.refused(lambda: found.provider.generate(LABEL, None), Unreadable, words)
    assert [record.id for record in found.provider.inventory() if record.label == LABEL.text] == [
        "k1"
    ]
    assert len(found.keys) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 413, 415, 422, 429])
def test_a_clear_refusal_of_a_create_changed_nothing(status: int, provided: Make) -> None:
    found = provided()
    found.twists["create"] = lambda _, body: (status, {"error": {"message": "no"}})
    told = found.refused(lambda: found.provider.generate(LABEL, None), RotatorError)
    assert not isinstance(told, OutcomeUnknown)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_create_that_broke_may_have_made_a_key(status: int, provided: Make) -> None:
    found = provided()
    found.twists["create"] = lambda _, body: (
        status,
        {"error": f"stored {body['made']['key']}, then died"},
    )
    told = found.refused(lambda: found.provider.generate(LABEL, None), OutcomeUnknown)
    assert not isinstance(told, Unreadable)


QUOTA = [
    (403, {"detail": "You have reached the maximum number of API keys"}),
    (403, {"error": {"message": "no", "code": "workspace_api_key_limit_exceeded"}}),
    (400, {"error": "API key limit exceeded"}),
    (422, {"error": "quota"}),
]


@pytest.mark.parametrize(("status", "body"), QUOTA)
def test_a_quota_is_one_whatever_its_status(status: int, body: Any, provided: Make) -> None:
    found = provided()
    found.twists["create"] = lambda _, __: (status, body)
    assert (
        "nobody needs"
        in found.refused(lambda: found.provider.generate(LABEL, None), QuotaExceeded).hint
    )


@pytest.mark.parametrize(
    "text", ["you lack the permission", "unlimited access is for owners", "rate limit exceeded"]
)
def test_a_permission_is_no_quota(text: str, provided: Make) -> None:
    found = provided()
    found.twists["create"] = lambda _, __: (403, {"error": text})
    found.refused(lambda: found.provider.generate(LABEL, None), AccessDenied, "Forbidden")


CREDIT = [
    (402, {"error": "pay"}),
    (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
    (403, {"error": {"message": "Insufficient credits"}}),
    (403, {"error": {"message": "Your credit balance is too low"}}),
]


@pytest.mark.parametrize(("status", "body"), CREDIT)
@pytest.mark.parametrize("operation", ["create", "list"])
def test_an_account_without_credit_is_not_busy(
    operation: str, status: int, body: Any, provided: Make
) -> None:
    """Asking again would not help."""
    found = provided()
    found.twists[operation] = lambda _, __: (status, body)
    act = (
        (lambda: found.provider.generate(LABEL, None))
        if operation == "create"
        else found.provider.inventory
    )
    told = found.refused(act, PermanentError)
    assert "no credit left" in told.hint and not isinstance(told, (QuotaExceeded, AccessDenied))


BUSY = [
    (
        429,
        {},
        {"error": {"message": "Daily limit of this preview reached."}},
        "Daily limit of this preview reached",
    ),
    (503, {"retry-after": "7"}, {"message": "maintenance until noon"}, "maintenance until noon"),
    (429, {}, b"", ""),
]


@pytest.mark.parametrize(("status", "headers", "body", "words"), BUSY)
def test_who_is_busy_says_why(
    status: int, headers: dict[str, str], body: Any, words: str, provided: Make
) -> None:
    """What the answer says is more than its status: nobody may have to guess that a limit is a
    day's.
    """
    found = provided()
    found.twists["list"] = lambda _, __: (status, body, headers)
    told = found.refused(found.provider.inventory, TransientError).message
    assert told.endswith(f"is busy ({status}): {words}" if words else f"is busy ({status})")


# --- a listing ---
def test_a_broken_item_hides_no_other(provided: Make) -> None:
    found = provided()
    for _ in range(3):
        found.provider.generate(LABEL, None)
    odd = {
        "name": {"x": 1},
        "hint": 7,
        "created": "soon",
        "expires": [],
        "active": "false",
        "used": 0,
    }
    found.twists["list"] = lambda _, body: {"keys": [{**body["keys"][0], **odd}, *body["keys"][1:]]}
    first, *others = found.provider.inventory()
    assert (first.label, first.hint, first.created_at, first.active) == ("", "7", None, False)
    assert [record.id for record in others] == ["k2", "k3"]


def test_the_last_use_is_told_and_one_that_is_not_understood_is_now(provided: Make) -> None:
    found = provided()
    for name, used in {"a": "Sun, 01 Nov 2026 12:00:00 GMT", "b": None, "c": "lately"}.items():
        found.keys[name] = {"id": name, "key": f"odd-{name}", "name": "x", "used": used}
    told = {record.id: record.last_used_at for record in found.provider.inventory()}
    assert (told["a"], told["b"]) == (1793534400.0, None) and told["c"] == pytest.approx(
        time.time(), abs=30
    )
    assert (found.provider.tells_use, found.provider.usage_lag, found.provider.propagation) == (
        True,
        90,
        4,
    )


def test_a_date_that_nobody_understands_is_a_warning(provided: Make) -> None:
    found = provided()
    found.provider.generate(LABEL, None)
    found.twists["list"] = lambda _, body: {
        "keys": [{**body["keys"][0], "created": "soon", "used": "lately"}]
    }
    told = [(finding.level, finding.text) for finding in found.provider.preflight()]
    assert told == [
        ("ok", "1 key"),
        ("warning", "`created` (list.each.created) is no date: soon"),
        ("warning", "`used` (list.each.last_used) is no date: lately"),
    ]


def test_a_last_use_that_the_list_does_not_tell_is_a_warning(provided: Make) -> None:
    """One letter wrong, and every key would count as never used; null is another thing."""
    found = provided(entry={"last_used: used": "last_used: usde"})
    found.twists["list"] = lambda _, body: {"keys": [{"id": "k1", "name": "x", "used": None}]}
    assert [finding.level for finding in found.provider.preflight()] == ["ok", "warning"]
    found = provided()
    found.twists["list"] = lambda _, body: {"keys": [{"id": "k1", "name": "x", "used": None}]}
    assert [finding.level for finding in found.provider.preflight()] == ["ok"]


@pytest.mark.parametrize("key_id", [None, "", {}, [], True, ".", "..", "a\nb", "a\ud800b", " "])
def test_a_listed_key_without_a_usable_id_makes_the_listing_unreadable(
    key_id: Any, provided: Make
) -> None:
    """Left out, it would count as gone."""
    found = provided()
    found.provider.generate(LABEL, None)
    found.twists["list"] = lambda _, body: {"keys": [*body["keys"], {"id": key_id, "name": "x"}]}
    found.refused(found.provider.inventory, PermanentError, "listing").message.encode()


def test_a_label_with_half_a_character_is_listed(provided: Make) -> None:
    found = provided()
    found.twists["list"] = lambda _, body: {
        "keys": [{"id": 17, "name": "a\ud800b", "hint": "o\x1bdd"}]
    }
    record = found.provider.inventory()[0]
    assert (record.id, record.label, record.hint) == ("17", "a\ufffdb", "o\ufffddd")


def test_a_key_that_is_listed_twice_is_one_and_two_of_one_id_are_refused(provided: Make) -> None:
    found = provided()
    found.provider.generate(LABEL, None)
    found.twists["list"] = lambda _, body: {"keys": body["keys"] * 2}
    assert len(found.provider.inventory()) == 1
    found.twists["list"] = lambda _, body: {
        "keys": [*body["keys"], {**body["keys"][0], "name": "another"}]
    }
    found.refused(found.provider.inventory, PermanentError, "shows the key k1 twice")


CURSOR = {
    "request: {GET: /keys}\n": (
        "request: {GET: /keys}\n  pages: {cursor: after, last: last, more: more}\n"
    )
}
OFFSET = {"request: {GET: /keys}\n": "request: {GET: /keys}\n  pages: {offset: offset, size: 1}\n"}
ENDLESS: dict[str, tuple[dict[str, str], Twist, str]] = {
    "a cursor that stands still": (
        CURSOR,
        lambda _, body: {**body, "more": True, "last": "x"},
        "begins again",
    ),
    "a cursor of nothing": (
        CURSOR,
        lambda _, body: {**body, "more": True, "last": None},
        "but not where",
    ),
    "no keys, yet more": (
        CURSOR,
        lambda _, body: {"keys": [], "more": True, "last": "x"},
        "begins again",
    ),
    "an offset that nobody knows": (OFFSET, lambda _, body: body, "a page repeats the keys"),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_a_listing_that_does_not_get_on_is_told_at_once(case: str, provided: Make) -> None:
    """It is not "cannot list": a key in use would lose its quiet step by that."""
    entry, twist, words = ENDLESS[case]
    found = provided(entry=entry)
    found.provider.generate(LABEL, None)
    found.twists["list"] = twist
    found.calls.clear()
    told = found.refused(found.provider.inventory, PermanentError, words)
    assert type(told) is PermanentError and len(found.calls) <= 2


def test_a_listing_without_end_is_not_read_for_ever(
    provided: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rotator.integrations.catalog.listing._MOST_PAGES", 20)
    found = provided(entry=CURSOR)
    found.twists["list"] = lambda _, body: {
        "keys": [],
        "more": True,
        "last": f"page-{len(found.calls)}",
    }
    told = found.refused(found.provider.inventory, PermanentError, "cannot be read to its end")
    assert type(told) is PermanentError and len(found.calls) == 20


def test_an_empty_page_is_not_the_end(provided: Make) -> None:
    """Where the provider filters after it has cut the pages."""
    found = provided(entry=CURSOR)
    found.provider.generate(LABEL, None)
    found.twists["list"] = lambda handler, body: (
        {**body, "more": "false"}
        if "after=p2" in handler.path
        else {"keys": [], "more": True, "last": "p2"}
    )
    assert [record.id for record in found.provider.inventory()] == ["k1"]


# --- a revocation ---
def test_gone_is_believed_if_the_list_lacks_the_key(provided: Make) -> None:
    found = provided()
    made = found.provider.generate(LABEL, None)
    found.provider.revoke(made)
    found.provider.revoke(made)
    assert found.keys == {}


def test_gone_is_not_believed_while_the_list_shows_the_key(provided: Make) -> None:
    """An issuer that answers 404 for a moment, or for a key of another project: the key lives."""
    found = provided()
    made = found.provider.generate(LABEL, None)
    lives = dict(found.keys)

    def not_here(_: Odd, body: Any) -> Any:
        found.keys.update(lives)
        return 404, {}

    found.twists["delete"] = not_here
    found.refused(lambda: found.provider.revoke(made), TransientError, "yet lists k1 still")


def test_gone_without_a_list_is_believed_if_the_key_is_refused(provided: Make) -> None:
    found = provided(entry=without_list())
    made = found.provider.generate(LABEL, None)
    lives = dict(found.keys)
    found.provider.revoke(made)
    found.provider.revoke(made)
    found.keys.update(lives)
    found.twists["delete"] = lambda _, body: (found.keys.update(lives), (410, {}))[1]
    found.refused(lambda: found.provider.revoke(made), TransientError, "k1 is not refused")
    found.refused(
        lambda: found.provider.revoke(Credential({}, "k1")), TransientError, "k1 is not refused"
    )


@pytest.mark.parametrize("key_id", [".", "..", "a\nb", "a\udc80b", " "])
def test_an_id_that_would_lead_to_another_address_is_never_sent(
    key_id: str, provided: Make
) -> None:
    """DELETE /keys/.. is DELETE / by the time that it arrives."""
    found = provided()
    found.refused(
        lambda: found.provider.revoke(single("odd-1", key_id=key_id)),
        PermanentError,
        "part of an address",
    )
    assert found.calls == []


def test_an_unusual_id_is_quoted(provided: Make) -> None:
    found = provided()
    found.keys["k"] = {"id": "keys/2 ä?..", "key": "x", "name": "x"}
    with pytest.raises(TransientError):  # this issuer does not unquote it, and lists it still
        found.provider.revoke(single("odd-1", key_id="keys/2 ä?.."))
    assert found.calls[0] == "DELETE /keys/keys%2F2%20%C3%A4%3F.."


# --- who asks ---
@pytest.mark.parametrize(
    "around", ["admin-credential \n", "\tadmin-credential", "admin-credential\r\n\r\n"]
)
def test_what_stands_around_the_administrators_key_is_taken_off(
    around: str, provided: Make
) -> None:
    """As every recipient of a header does; and an error that repeats it does not tell it."""
    found = provided()
    found.admin.write_text(around)
    found.twists["list"] = lambda handler, body: (
        404,
        {"error": f"who is {handler.headers['x-admin']}?"},
    )
    told = found.refused(found.provider.inventory, PermanentError, r"who is \*\*\*\?")
    assert "admin-credential" not in told.message


@pytest.mark.parametrize(
    "value", ["admin credential", "admin-crédential", "admin\x01credential", "one\ntwo"]
)
def test_an_administrators_key_that_cannot_be_sent_is_told_by_its_setting(
    value: str, provided: Make
) -> None:
    found = provided()
    found.admin.write_text(value)
    found.refused(found.provider.preflight, ConfigError, "admin cannot stand in a header")
    assert found.calls == []


def test_an_administrators_key_with_nul_bytes_is_told_by_its_file(provided: Make) -> None:
    found = provided()
    found.admin.write_text("admin\x00credential")
    found.refused(
        found.provider.preflight, PermanentError, "admin is not UTF-8: there are NUL bytes in it"
    )
    assert found.calls == []


# --- a probe ---
@pytest.mark.parametrize(
    "body", [b"", b"<html>", [], {"ids": [1, "a"]}, {"ids": 7}, {"team": None}]
)
def test_an_identity_that_cannot_be_read_is_left_out(body: Any, provided: Make) -> None:
    found = provided()
    made = found.provider.generate(LABEL, None)
    found.twists["probe"] = lambda _, __: body
    assert found.provider.probe(made).facts == {}


def test_a_key_that_cannot_be_sent_is_not_called_refused(provided: Make) -> None:
    found = provided()
    found.refused(
        lambda: found.provider.probe(single("odd key")), PermanentError, "cannot stand in a header"
    )
    with pytest.raises(Rejected):
        found.provider.probe(single("odd-0123"))


def test_a_listing_of_another_shape_names_the_field_of_the_catalog_file() -> None:
    """Never an empty list: it would mean that a key is gone."""
    each = {"in": "tokens", "id": "idd"}
    listing = Listing.model_validate({"request": {"GET": "/keys"}, "each": {**each, "in": "token"}})
    with pytest.raises(
        PermanentError, match=r"no list at `token` \(list.each.in\), its fields are tokens"
    ):
        list(pages_of_keys(listing, lambda query, address: {"tokens": [{"id": "a", "title": "t"}]}))
    listing = Listing.model_validate({"request": {"GET": "/keys"}, "each": each})
    with pytest.raises(
        PermanentError, match=r"at `idd` \(list.each.id\), its fields are id, title"
    ):
        list(pages_of_keys(listing, lambda query, address: {"tokens": [{"id": "a", "title": "t"}]}))


def test_a_refusal_says_where_the_refused_credential_comes_from(provided: Make) -> None:
    """Of several on the machine, a person must know which one to look at."""
    found = provided()
    for operation, act in (
        ("list", found.provider.inventory),
        ("create", lambda: found.provider.generate(LABEL, None)),
    ):
        found.twists[operation] = lambda _, __: (401, {"error": "no"})
        found.refused(
            act, AccessDenied, rf"Odd refuses admin, from {{file: {found.admin}}} \(401\)"
        )
