"""What a catalog file can say of an unusual API: what is sent for it, and each slip in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rotator.clients import http
from rotator.errors import ConfigError, OutcomeUnknown, PermanentError, Unsupported
from rotator.integrations.catalog import templates
from rotator.integrations.catalog.entry import Listing, entry_at
from rotator.integrations.catalog.listing import pages
from rotator.integrations.catalog.request import RequestTemplate
from rotator.model import single
from rotator.playbook import catalog
from rotator.playbook.mistakes import PlaybookMistakes
from rotator.reference import Reference
from rotator.secret import Secret

UNUSUAL = """\
name: Ours
console: https://ours.example/keys
settings:
  account: {help: The account}
  scopes: {type: list, default: [read]}
  most: {type: integer, default: 3}
  lifetime: {type: duration, default: 30d}
  password: {secret: true}
api:
  base: https://ours.example
  auth: {bearer: access_token}
  headers: {x-version: '7', x-second: {secret: password}}
  hosts: {login: 'https://login.ours.example'}
  token:
    request: {POST: /token, host: login, form: {user: '{account}', password: {secret: password}}}
    token: access_token
    lives: expires_in
create:
  - request: {POST: /keys, json: {name: '{label}', scopes: '{scopes}', most: '{most}', same: '{old.same}', ends: '{expires.days}d'}}
    needs: [old.same]
    wait: {request: {GET: '/{+handle}'}, handle: work, done: done}
    answer: {id: made.id}
    then: {request: {GET: '/keys/{id}/value'}, secret: value}
list:
  request: {GET: /keys}
  pages: {number: page, first: 0, size: 10}
  each: {in: data, id: id, label: [name]}
read: {request: {GET: '/keys/{id}'}, carried: {same: same}}
whoami: {request: {GET: /me, auth: {header: x-key, prefix: 'Key ', value: key}}, id: id}
deactivate: {request: {PUT: '/keys/{id}', json: {same: '{old.same}', ended: true}}}
reactivate: {request: {PUT: '/keys/{id}', json: {same: '{old.same}', ended: false}}}
revoke:
  - request: {POST: /end, json: {key: {secret: key}}}
probe: {request: {GET: /me, auth: {basic: [account, key]}}, dead: gone}
"""

WRONG: Mapping[str, tuple[str, str, int, str, str]] = {
    "a host with a slip": ("host: login", "host: logn", 15, "no host 'logn'", "login"),
    "a host that is no address": (
        "login: 'https://",
        "login: 'ftp://",
        13,
        "is no address",
        "https",
    ),
    "a host whose setting there is": (
        "account: {help: The account}",
        "login_url: {help: The account}",
        13,
        "is a setting already",
        "another name",
    ),
    "two bodies": ("form: {user", "json: {}, form: {user", 15, "one body", "`json` or"),
    "a secret of a body with a slip": (
        "password: {secret: password}}}\n",
        "password: {secret: pasword}}}\n",
        15,
        "'pasword'",
        "password",
    ),
    "a token that is not fetched": ("  token:\n", "  tokn:\n", 14, "unknown key 'tokn'", "token"),
    "what a create needs, with a slip": (
        "[old.same]",
        "[old.sme]",
        20,
        "old.sme stands",
        "old.same",
    ),
    "a list within a text": ("'{scopes}'", "'a {scopes}'", 19, "is a list: it stands alone", ""),
    "a default of another type": ("default: 3", "default: three", 6, "is no integer", "type"),
    "a default that is true": ("default: 3", "default: true", 6, "is no integer", "type"),
    "a duration that is none": ("default: 30d", "default: long", 7, "is no duration", "type"),
    "a lifetime of another type": (
        "{type: duration, default: 30d}",
        "{default: '30'}",
        7,
        "is a duration",
        "type: duration",
    ),
    "a type with a slip": ("type: integer", "type: integr", 6, "settings.most.type", ""),
    "a secret of a type": ("{secret: true}", "{secret: true, type: list}", 8, "a secret is a", ""),
    "a value in two places": ("{id: made.id}", "{id: made.id, secret: x}", 22, "`then` shows", ""),
    "a value nowhere": (
        "    then: {request: {GET: '/keys/{id}/value'}, secret: value}\n",
        "",
        22,
        "'secret' is missing",
        "secret: …",
    ),
    "a key that is not named": ("'/keys/{id}/value'", "/value", 23, "which key is meant", "{id}"),
    "a work that is not named": ("'/{+handle}'", "'/{+handel}'", 21, "{handel} stands", "handle"),
    "a handle elsewhere": (
        "GET: '/keys/{id}'}, c",
        "GET: '/keys/{handle}'}, c",
        28,
        "not known",
        "wait",
    ),
    "no path of a wait": ("done: done", "done: 'do ne'", 21, "is no JMESPath", ""),
    "pages of two kinds": ("{number: page,", "{number: page, next: n,", 26, "pages go by", ""),
    "a next page that is no path": (
        "{number: page, first: 0, size: 10}",
        "{next: 'a b'}",
        26,
        "is no JMESPath",
        "",
    ),
    "something carried with a blank": (
        "carried: {same:",
        "carried: {'a b':",
        28,
        "cannot be a",
        "",
    ),
    "a question of nobody": (
        "GET: /me, auth: {header: x-key, prefix: 'Key ', value: key}",
        "GET: /me",
        29,
        "the whoami does not say how the key is sent",
        "bearer: key",
    ),
    "what nothing carries": (
        "json: {same: '{old.same}', ended: true",
        "json: {same: '{old.sam}'",
        30,
        "{old.sam} stands",
        "old.same",
    ),
    "an end of everything": ("json: {key: {secret: key}}", "json: {}", 33, "which key", "{id}"),
    "an end of everything, asked for by another": (
        "json: {key: {secret: key}}",
        "json: {}, auth: {bearer: password}",
        33,
        "which key",
        "{id}",
    ),
    "an access token in the probe": (
        "{basic: [account, key]}",
        "{bearer: access_token}",
        34,
        "`access_token` is not known here",
        "fetches",
    ),
    "a life that is no path": ("dead: gone", "alive: 'o n'", 34, "is no JMESPath", ""),
    "a death that is no path": ("dead: gone", "dead: 'o ff'", 34, "is no JMESPath", ""),
}


def _load(folder: Path, text: str) -> Any:
    (folder / "ours.yaml").write_text(text)
    return catalog.provider(folder / "ours.yaml")


def test_an_unusual_file_is_a_provider(tmp_path: Path) -> None:
    made = _load(tmp_path, UNUSUAL)(account="a", password=Reference("env", "P"))
    assert (made.scopes, made.most, made.lifetime) == (["read"], 3, 30 * 86_400.0)
    another = _load(tmp_path, UNUSUAL)(account="a", password=Reference("env", "P"))
    assert made.scopes is not another.scopes, "each has a list of its own"


@pytest.mark.parametrize("case", WRONG)
def test_a_slip_is_told_with_its_place_and_the_way_out(case: str, tmp_path: Path) -> None:
    before, after, line, text, hint = WRONG[case]
    assert before in UNUSUAL
    with pytest.raises(PlaybookMistakes) as told:
        _load(tmp_path, UNUSUAL.replace(before, after, 1))
    found = [(one.line, one.column, one.text, one.hint) for one in told.value.mistakes]
    assert any(one[0] == line and text in one[2] and hint in one[3] for one in found), found
    assert all(one[1] > 0 for one in found) and len(found) <= 6, found


def test_a_secret_setting_may_be_missing_where_only_the_key_is_asked_about(tmp_path: Path) -> None:
    """A header that is the administrator's is not sent with a probe."""
    (tmp_path / "ours.yaml").write_text(UNUSUAL)
    entry = entry_at(tmp_path / "ours.yaml")
    assert entry.probe is not None
    secrets = {"key": Secret("k-0123456789")}
    sent = templates.build(
        entry.probe.request, "https://ours.example", entry.api, secrets, {"account": "a"}
    )
    assert set(sent.headers) == {"x-version", "authorization"}
    assert sent.headers["authorization"].startswith("Basic ")


def _build(template: dict[str, Any], **values: Any) -> http.Request:
    from rotator.integrations.catalog.entry import Api

    secrets = {"key": Secret("k-0123456789"), "bad": Secret("a b")}
    request = RequestTemplate.model_validate(template)
    return templates.build(request, "https://x.example/", Api(base=None), secrets, values)


def test_what_is_sent() -> None:
    form = _build({"POST": "/x", "form": {"a": "{a}", "b": "{b}", "m": "{m}"}}, a="1", m={"c": 2})
    assert form.form == {"a": "1", "m": '{"c": 2}'} and form.json is None
    body = _build({"POST": "/x", "json": {"key": {"secret": "key"}, "all": [{"secret": "key"}]}})
    assert body.json == {"key": "k-0123456789", "all": ["k-0123456789"]}
    assert _build({"GET": "/v2/{+id}"}, id="keys/a b/c").url == "https://x.example/v2/keys/a%20b/c"
    assert _build({"GET": "/v2/{id}"}, id="keys/a").url == "https://x.example/v2/keys%2Fa"
    prefixed = {"GET": "/x", "auth": {"header": "A", "prefix": "Token ", "value": "key"}}
    assert _build(prefixed).headers == {"A": "Token k-0123456789"}
    ends = {"POST": "/x", "json": {"ends": "{expires.seconds}s", "name": "n"}}
    assert _build(ends).json == {"name": "n"}
    assert _build(ends, **{"expires.seconds": 60}).json == {"ends": "60s", "name": "n"}


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ({"GET": "/v2/{+id}"}, PermanentError),
        ({"POST": "/x", "json": {"k": {"secret": "other"}}}, Unsupported),
        ({"GET": "/x", "auth": {"bearer": "bad"}}, ConfigError),
        ({"GET": "/x", "headers": {"a": {"secret": "bad"}}}, ConfigError),
    ],
)
def test_what_is_not_sent(template: dict[str, Any], error: type[Exception]) -> None:
    """A name that leads elsewhere, a value that nobody has, a secret that is no header."""
    with pytest.raises(error):
        _build(template, id="keys/../projects")


def _listing(**paging: Any) -> Listing:
    each = {"in": "data", "id": "id"}
    return Listing.model_validate({"request": {"GET": "/keys"}, "each": each, "pages": paging})


def _answers(*pages_: Any) -> Any:
    found: Iterator[Any] = iter(pages_)
    asked: list[tuple[Mapping[str, str], str]] = []

    def send(query: Mapping[str, str], address: str) -> Any:
        asked.append((query, address))
        return next(found)

    return send, asked


def test_pages_by_number_and_by_next_address() -> None:
    one, two = {"data": [{"id": "a"}, {"id": "b"}]}, {"data": [{"id": "c"}]}
    send, asked = _answers(one, two)
    assert [item["id"] for item in pages(_listing(number="p", first=0, size=2), send)] == [
        "a",
        "b",
        "c",
    ]
    assert [query for query, _ in asked] == [{"p": "0"}, {"p": "1"}]
    send, asked = _answers({**one, "next": "/keys?page=2"}, {**two, "next": None})
    listed = pages(_listing(next="next"), send, "https://x.example/keys")
    assert [item["id"] for item in listed] == ["a", "b", "c"]
    assert [address for _, address in asked] == ["", "https://x.example/keys?page=2"]


@pytest.mark.parametrize("following", ["https://evil.example/keys", "http://x.example/k", "//[x"])
def test_a_next_page_elsewhere_is_not_asked(following: str) -> None:
    """The administrator's credential would go there."""
    send, asked = _answers({"data": [{"id": "a"}], "next": following})
    with pytest.raises(PermanentError, match="another host|no address"):
        list(pages(_listing(next="next"), send, "https://x.example/keys"))
    assert len(asked) == 1


def test_a_page_number_that_the_api_does_not_know_is_told() -> None:
    same = {"data": [{"id": "a"}]}
    send, _ = _answers(same, same)
    with pytest.raises(PermanentError, match="does not get on"):
        list(pages(_listing(number="p", size=1), send))


def test_a_provider_that_makes_keys_at_once_has_no_second_step(tmp_path: Path) -> None:
    from rotator.model import Label
    from tests.unit.test_catalog import GOOD

    (tmp_path / "ours.yaml").write_text(GOOD)
    made: Any = catalog.provider(tmp_path / "ours.yaml")
    provider = made(team="t", admin=Reference("env", "A"))
    with pytest.raises(Unsupported, match="at once"):
        provider.proceed(Label("i", "p", "r", 1), None, "handle")
    assert provider.id_told(single("our-key")) == ""


ONCE = """\
name: Ours
settings: {admin: {secret: true}}
api: {base: 'https://ours.example', auth: {bearer: admin}}
create:
  - request: {POST: /keys, json: {name: '{label}'}}
    answer: {id: id}
    then: {request: {GET: '/keys/{id}/value'}, secret: value}
list: {request: {GET: /keys}, each: {in: data, id: id, label: [name]}}
revoke:
  - request: {DELETE: /keys, query: {id: '{id}'}}
probe: {request: {GET: /me, auth: {bearer: key}}, dead: '!active'}
"""


@pytest.fixture
def once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str], dict[str, Any]]:
    """A provider; what it was asked, and what it answers, by method and path."""
    asked: list[str] = []
    says: dict[str, Any] = {"POST /keys": (200, b'{"id": "k1"}'), "DELETE /keys": (200, b"")}

    def send(request: http.Request) -> http.Answer:
        name = f"{request.method} {request.url.removeprefix('https://ours.example')}"
        asked.append(name)
        status, body = says[name]
        return http.Answer(status, {}, body)

    monkeypatch.setattr(http, "send", send)
    monkeypatch.setenv("ADMIN", "administrators-credential")
    return _load(tmp_path, ONCE)(admin=Reference("env", "ADMIN")), asked, says


def test_a_key_whose_value_cannot_be_had_now_is_not_made_once_more(
    once: tuple[Any, list[str], dict[str, Any]],
) -> None:
    """The create happened: asked again, it would leave a key that nobody has."""
    from rotator.model import Label

    provider, asked, says = once
    says["GET /keys/k1/value"] = (503, b"{}")
    with pytest.raises(OutcomeUnknown):
        provider.generate(Label("i", "p", "r", 1), None)
    assert asked.count("POST /keys") == 1


def test_no_key_is_destroyed_without_its_id_wherever_that_stands(
    once: tuple[Any, list[str], dict[str, Any]],
) -> None:
    provider, asked, says = once
    says["GET /me"] = (200, b'{"active": true}')
    with pytest.raises(Unsupported, match="id is not known"):
        provider.revoke(single("key-0123456789"))
    assert "DELETE /keys" not in asked


@pytest.mark.parametrize("body", [b"<html>Please sign in</html>", b""])
def test_a_page_in_place_of_an_answer_is_no_death(
    once: tuple[Any, list[str], dict[str, Any]], body: bytes
) -> None:
    from rotator.errors import TransientError

    provider, _, says = once
    says["GET /me"] = (200, body)
    with pytest.raises(TransientError, match="without JSON"):
        provider.probe(single("key-0123456789"))
