"""The entries whose keys a person makes and destroys: what each asks with a key, and believes."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    OutcomeUnknown,
    PermanentError,
    Rejected,
    TransientError,
    Unsupported,
)
from rotator.integrations.catalog.entry import entry_at
from rotator.integrations.catalog.made import provider_class
from rotator.integrations.catalog.shipped import shipped
from rotator.model import Label, Level, single
from rotator.plugin import Destroying
from rotator.secret import Secret
from tests.patterns import Examples

ENTRIES = {
    name: entry
    for name, path in shipped().items()
    if not (entry := entry_at(path)).makes and not entry.destroys
}
PROBED = [name for name, entry in ENTRIES.items() if entry.probe is not None]


class Issuer(BaseHTTPRequestHandler):
    """Knows one key; answers as the status says to it, and refuses all others."""

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _answer(self) -> None:
        server: Any = self.server
        server.asked.append(f"{self.command} {self.path}")
        known = self.headers.get("authorization") == f"Bearer {server.key}"
        self.send_response(server.status if known else server.refusal)
        body = b'{"data": [], "valid": true}' if known else server.said
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer


@pytest.fixture
def issuer() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    server.asked, server.status, server.refusal, server.said = [], 200, 401, b"{}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def provider(name: str, base: str | None = None) -> Any:
    made = provider_class(name, ENTRIES[name])
    return made(base_url=base) if base else made()


def a_key(name: str, seed: int = 1) -> str:
    pattern = ENTRIES[name].pattern
    return Examples(pattern, seed).one() if pattern else f"nobody-knows-the-form-{seed:020}"


def test_there_is_an_entry_for_each_provider_without_an_api_for_keys() -> None:
    wanted = "deepseek groq cohere together dashscope daft huggingface replicate stripe voyage"
    assert {
        *wanted.split(),
        *["cerebras", "nvidia", "moonshot", "zai", "sambanova"],
    } <= ENTRIES.keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_person_is_told_where_and_how(name: str) -> None:
    entry, made = ENTRIES[name], provider(name)
    assert made.supplied and isinstance(made, Destroying) and not made.destroys
    assert made.console.startswith("https://") and entry.docs.startswith("https://")
    assert made.steps_to_create and made.steps_to_revoke
    assert all(step.endswith(".") for step in (*made.steps_to_create, *made.steps_to_revoke))
    assert not entry.settings, "such an entry needs nothing but the key"


@pytest.mark.parametrize("name", ENTRIES)
def test_no_request_makes_lists_or_destroys_a_key(name: str) -> None:
    made, key = provider(name), single(a_key(name))
    findings = [one.level for one in made.preflight()]
    assert findings == ([] if name in PROBED else [Level.WARNING])
    assert not made.can_list and not made.can_deactivate
    for call in (
        lambda: made.generate(Label("i", "p", "r", 1), None),
        made.inventory,
        lambda: made.revoke(key),
        lambda: made.deactivate(key),
    ):
        with pytest.raises(Unsupported):
            call()


@pytest.mark.parametrize("name", PROBED)
def test_a_key_is_tried_by_one_request(name: str, issuer: Any) -> None:
    """Accepted, refused, or nobody can tell: and nothing else is asked for."""
    issuer.key = a_key(name)
    made = provider(name, f"http://127.0.0.1:{issuer.server_port}")
    made.probe(single(issuer.key))
    probe = ENTRIES[name].probe
    assert probe is not None
    assert issuer.asked == [f"{probe.request.method} {probe.request.path}"]
    for issuer.refusal in probe.refused:
        with pytest.raises(Rejected):
            made.probe(single(a_key(name, 2)))
    issuer.status = 503
    with pytest.raises((TransientError, OutcomeUnknown)):
        made.probe(single(issuer.key))


def test_a_restricted_key_of_stripe_is_alive_though_it_may_not_see_the_balance(issuer: Any) -> None:
    """It could never be supplied: its answer was no refusal, and no yes."""
    made = provider("stripe", f"http://127.0.0.1:{issuer.server_port}")
    restricted = single(a_key("stripe", 2))
    words = "The provided key 'rk_live_***1234' does not have the required permissions for this"
    issuer.key, issuer.refusal = "another", 403
    issuer.said = f'{{"error": {{"type": "invalid_request_error", "message": "{words}"}}}}'.encode()
    assert made.probe(restricted).facts == {}
    for issuer.said in (b"<html>who are you?</html>", b'{"error": {"message": "no"}}', b"[]"):
        with pytest.raises(AccessDenied):
            made.probe(restricted)
    issuer.refusal, issuer.said = 401, b'{"error": {"message": "Invalid API Key provided"}}'
    with pytest.raises(Rejected):
        made.probe(restricted)


def test_an_answer_that_says_not_valid_is_a_refusal_though_it_is_no_error(issuer: Any) -> None:
    issuer.key, issuer.refusal, issuer.said = a_key("cohere"), 200, b'{"valid": false}'
    made = provider("cohere", f"http://127.0.0.1:{issuer.server_port}")
    with pytest.raises(Rejected):
        made.probe(single(a_key("cohere", 2)))


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in PROBED])
def test_without_a_documented_call_none_is_made_up(name: str) -> None:
    with pytest.raises(Unsupported, match="no call of"):
        provider(name).probe(single(a_key(name)))


@pytest.mark.parametrize("name", ENTRIES)
def test_a_supplied_key_is_looked_at(name: str) -> None:
    """Blanks around it are taken off; what stands in it, or is the old key, is no key."""
    made, key = provider(name), a_key(name)
    assert made.accept(Secret(f"  {key}\n"), None).primary.reveal() == key
    for wrong in (
        f"{key[:9]} {key[9:]}",
        f"{key}\n{key}",
        "",
        f"KEY={key}",
        f"{key[:6]}...{key[-4:]}",
    ):
        with pytest.raises(PermanentError):
            made.accept(Secret(wrong), None)
    with pytest.raises(PermanentError, match="the old key"):
        made.accept(Secret(key), single(key))
