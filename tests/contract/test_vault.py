"""What is peculiar to Vault: versions, notes, policies, logins, seals, wires; shown at OpenBao."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from rotator.integrations.vault import login as vault_login
from rotator.integrations.vault import server as vault_server
from rotator.integrations.vault import wire as vault_wire
from rotator.integrations.vault.login import AppRole, VaultAuth
from rotator.integrations.vault.server import Vault
from rotator.integrations.vault.store import VaultStore
from rotator.model import Level, Note, single
from rotator.reference import Reference
from tests.servers.bao import Bao
from tests.servers.tools import free_port
from tests.servers.toxiproxy import Toxiproxy

pytest.importorskip("hvac", reason="the extra 'vault' is not installed")

NOTE = Note("key_1", "inst", "01ROTATION", 1000.0)
POLICY = """
path "secret/data/app" { capabilities = ["create", "read", "update"] }
path "secret/metadata/app" { capabilities = ["create", "read", "patch"] }
"""


@pytest.fixture(name="bao")
def _bao(bao: Bao, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bao]:
    """With a secret at secret/app, asked as root through the environment."""
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    monkeypatch.setenv("VAULT_TOKEN", bao.root_token)
    bao.put("app", KEY="first-value", other="1")
    yield bao
    bao.call("DELETE", "secret/metadata/app")
    vault_login._tokens.clear()
    vault_server._mounts.clear()


@pytest.fixture
def store(bao: Bao) -> VaultStore:
    return VaultStore(path="secret/app", key="KEY")


def write(store: VaultStore, value: str) -> str:
    held = store.read()
    return store.write(single(value), held.version if held else "", NOTE)


def value(store: VaultStore) -> str:
    held = store.read()
    assert held is not None and held.values is not None
    return held.values["key"].reveal()


def test_init_reads_the_fields_of_a_path(bao: Bao) -> None:
    """Texts are values that no address may hold, but settings beside them."""
    from rotator.errors import NotFound
    from rotator.secret import Secret
    from rotator.setup import live

    bao.put("app", GROQ_API_KEY="gsk_1", OPENAI_PROJECT_ID="proj_1", count=3)
    found = live.path_of_vault("secret/app")
    assert found.store == {"uses": "vault", "path": "secret/app"}
    assert found.values["GROQ_API_KEY"] == Secret("gsk_1")
    assert found.values["OPENAI_PROJECT_ID"] == "proj_1" and found.values["count"] is None
    with pytest.raises(NotFound, match="nothing at secret/none"):
        live.path_of_vault("secret/none")


class TestVersions:
    def test_other_fields_stay(self, store: VaultStore, bao: Bao) -> None:
        write(store, "second-value")
        assert bao.get("app") == {"KEY": "second-value", "other": "1"}

    def test_the_edit_of_another_field_is_no_change_of_the_key(
        self, store: VaultStore, bao: Bao
    ) -> None:
        """Else every consumer that started before a colleague's edit would count as holding who
        knows what.
        """
        version = write(store, "second-value")
        before = store.read()
        bao.put("app", KEY="second-value", other="2")
        held = store.read()
        assert held == before and held is not None and held.version == version and held.note == NOTE
        store.write(single("third-value"), version, NOTE)
        assert bao.get("app") == {"KEY": "third-value", "other": "2"}

    def test_an_old_value_that_stood_there_for_a_moment_is_a_change(
        self, store: VaultStore, bao: Bao
    ) -> None:
        version = write(store, "second-value")
        bao.put("app", KEY="first-value", other="1")
        bao.put("app", KEY="second-value", other="1")
        held = store.read()
        assert held is not None and held.version != version and held.note is None
        with pytest.raises(Conflict):
            store.write(single("third-value"), version, NOTE)

    def test_a_deleted_secret_holds_nothing_and_can_be_written(
        self, store: VaultStore, bao: Bao
    ) -> None:
        bao.call("DELETE", "secret/data/app")
        assert store.read() is None
        write(store, "second-value")
        assert value(store) == "second-value"

    def test_a_secret_that_never_was_can_be_written_with_its_note(self, bao: Bao) -> None:
        store = VaultStore(path="secret/fresh", key="KEY")
        assert store.read() is None
        write(store, "first-value")
        held = store.read()
        assert held is not None and held.note == NOTE
        bao.call("DELETE", "secret/metadata/fresh")

    def test_a_write_tells_when(self, store: VaultStore) -> None:
        write(store, "second-value")
        held = store.read()
        assert (
            held is not None
            and held.written_at is not None
            and abs(held.written_at - time.time()) < 60
        )

    def test_a_colleague_who_writes_at_the_same_moment_is_written_after(
        self, store: VaultStore, bao: Bao, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between our reading and our writing another field changes: compare-and-set refuses, and
        it is read again.
        """
        version, leave = store.read(), VaultStore._leave

        def just_before(self: VaultStore, *arguments: Any) -> None:
            monkeypatch.setattr(VaultStore, "_leave", leave)
            leave(self, *arguments)
            bao.put("app", KEY="first-value", other="2")

        write(store, "first-value")  # from here on the store knows since when its field stands
        version = store.read()
        assert version is not None
        monkeypatch.setattr(VaultStore, "_leave", just_before)
        store.write(single("second-value"), version.version, NOTE)
        assert bao.get("app") == {"KEY": "second-value", "other": "2"}

    def test_retire_destroys_what_held_the_old_key_where_it_is_asked_for(
        self, store: VaultStore, bao: Bao
    ) -> None:
        bao.put("app", KEY="first-value", other="2")
        old = store.read()
        assert old is not None
        write(store, "second-value")
        store.retire(old.version)
        assert not any(version["destroyed"] for version in bao.metadata("app")["versions"].values())
        replace(store, destroy=True).retire(old.version)
        destroyed = {
            number for number, one in bao.metadata("app")["versions"].items() if one["destroyed"]
        }
        assert destroyed == {"1", "2"} and value(store) == "second-value"

    def test_retire_leaves_the_present_version_alone(self, store: VaultStore, bao: Bao) -> None:
        """Somebody put the old key back, say: it is not for retire to take it away."""
        replace(store, destroy=True).retire("1")
        assert value(store) == "first-value"


class TestTexts:
    """What stands in a secret besides the key stays as it is written."""

    def fields(self, bao: Bao, path: str) -> dict[str, Any]:
        """As the server writes them, numbers as their text."""
        asked = urllib.request.Request(
            f"{bao.url}/v1/{path}", headers={"X-Vault-Token": bao.root_token}
        )
        with urllib.request.urlopen(asked) as answer:
            data: dict[str, Any] = json.loads(answer.read(), parse_float=str, parse_int=str)["data"]
        return data.get("data") or data

    @pytest.mark.parametrize("at", ["secret/data/app", "older/app"])
    def test_numbers_stay_and_so_does_a_newline_behind_the_key(
        self, bao: Bao, store: VaultStore, at: str
    ) -> None:
        fields = (
            '{"KEY": "first-value\\n", "limit": 1.10, "big": 11111111111111111111111, "deep": {"e":'
            " 1.5E3}}"
        )
        if at.startswith("older") and "older/" not in bao.call("GET", "sys/mounts"):
            bao.call("POST", "sys/mounts/older", {"type": "kv", "options": {"version": "1"}})
        body = f'{{"data": {fields}}}' if at.startswith("secret") else fields
        store.vault.call("POST", at, body, safe=True)
        store = replace(store, path=at.replace("/data", ""))
        assert value(store) == "first-value"
        assert "a newline behind the key" in store.preflight()[0].text
        shown = self.fields(bao, at)
        if at.startswith(
            "older"
        ):  # version 2 of the engine reads numbers itself: as it shows them, they stay
            assert shown == {
                "KEY": "first-value\n",
                "limit": "1.10",
                "big": "1" * 23,
                "deep": {"e": "1.5E3"},
            }
        for new in ("second-value", "first-value"):
            write(store, new)
            assert self.fields(bao, at) == {**shown, "KEY": f"{new}\n"}

    def test_a_number_is_no_key(self, bao: Bao, store: VaultStore) -> None:
        bao.call("POST", "secret/data/app", {"data": {"KEY": 12345678}})
        with pytest.raises(PermanentError, match="is no text"):
            store.read()
        with pytest.raises(PermanentError, match="no text"):
            Reference("vault", "secret/app#KEY").resolve()

    def test_a_secret_whose_versions_are_deleted_by_themselves_is_told(
        self, bao: Bao, store: VaultStore
    ) -> None:
        """By the version that is there; before there is one, by the secret or its mount, where we
        may see them.
        """
        assert store.preflight() == []
        bao.call("POST", "secret/metadata/app", {"delete_version_after": "36h"})
        assert "deleted 36h0m0s after it was written" in store.preflight()[0].text
        write(store, "second-value")
        assert "deleted 36 h after it was written" in store.preflight()[0].text
        bao.call("POST", "secret/metadata/app", {"delete_version_after": "0s"})
        write(store, "third-value")
        assert store.preflight() == []
        bao.call("POST", "secret/config", {"delete_version_after": "72h"})
        try:
            assert "deleted 72h0m0s after" in store.preflight()[0].text
            write(store, "fourth-value")
            assert "deleted 3 d after" in store.preflight()[0].text
        finally:
            bao.call("POST", "secret/config", {"delete_version_after": "0s"})


class TestPolicies:
    def as_app(self, bao: Bao, store: VaultStore, policy: str, folder: Path) -> VaultStore:
        (folder / "token").write_text(bao.token(policy))
        return replace(store, auth=VaultAuth(file=str(folder / "token")))

    def test_the_policy_of_the_documentation_suffices(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        store = self.as_app(bao, store, POLICY, tmp_path)
        assert store.preflight() == []
        write(store, "second-value")
        held = store.read()
        assert held is not None and held.note == NOTE

    def test_without_metadata_it_works_and_warns(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        store = self.as_app(bao, store, POLICY.splitlines()[1], tmp_path)
        (finding,) = store.preflight()
        assert finding.level is Level.WARNING and 'path "secret/metadata/app"' in finding.hint
        write(store, "second-value")
        assert value(store) == "second-value"

    def test_a_missing_capability_is_named_with_its_rule(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        store = self.as_app(
            bao, store, 'path "secret/data/app" { capabilities = ["read"] }', tmp_path
        )
        (finding,) = [found for found in store.preflight() if found.level is Level.ERROR]
        assert "may not update secret/data/app" in finding.text
        assert (
            'path "secret/data/app" { capabilities = ["create","read","update"] }' in finding.hint
        )
        with pytest.raises(AccessDenied, match="refuses to update secret/data/app"):
            write(store, "second-value")
        assert value(store) == "first-value"

    def test_a_mount_that_is_none_is_told(self, bao: Bao) -> None:
        with pytest.raises((NotFound, AccessDenied)):
            VaultStore(path="nowhere/app", key="KEY").preflight()


class TestLogins:
    def approle(self, bao: Bao, folder: Path, **role: Any) -> VaultAuth:
        if "approle/" not in bao.call("GET", "sys/auth"):
            bao.call("POST", "sys/auth/approle", {"type": "approle"})
        bao.call("PUT", "sys/policies/acl/app", {"policy": POLICY})
        bao.call(
            "POST",
            "auth/approle/role/app",
            {"token_policies": ["app"], "token_ttl": "1h", "secret_id_num_uses": 0, **role},
        )
        role_id = bao.call("GET", "auth/approle/role/app/role-id")["data"]["role_id"]
        secret_id = bao.call("POST", "auth/approle/role/app/secret-id", {})["data"]["secret_id"]
        (folder / "secret_id").write_text(secret_id)
        return VaultAuth(
            approle=AppRole(role_id=role_id, secret_id=Reference("file", str(folder / "secret_id")))
        )

    def test_approle_logs_in_once(self, bao: Bao, store: VaultStore, tmp_path: Path) -> None:
        store = replace(store, auth=self.approle(bao, tmp_path, secret_id_num_uses=1))
        write(store, "second-value")
        assert value(store) == "second-value"

    def test_a_login_that_was_revoked_is_had_anew(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        store = replace(store, auth=self.approle(bao, tmp_path))
        store.read()
        bao.call(
            "POST", "auth/token/revoke", {"token": vault_login._tokens[store.vault].secret.reveal()}
        )
        write(store, "second-value")
        assert value(store) == "second-value"

    def test_a_token_is_renewed_before_it_ends(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        store = replace(
            store, auth=self.approle(bao, tmp_path, token_ttl="3s", secret_id_num_uses=1)
        )
        store.read()
        held = vault_login._tokens[store.vault]
        assert 1 < held.renew_at - time.monotonic() <= 2
        held.renew_at = 0.0  # two of its three seconds are over
        assert value(store) == "first-value"
        assert (
            vault_login._tokens[store.vault].renew_at > time.monotonic()
            and vault_login._tokens[store.vault].secret == held.secret
        )

    def test_a_token_that_cannot_be_renewed_is_had_by_another_login(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        store = replace(store, auth=self.approle(bao, tmp_path))
        store.read()
        held = vault_login._tokens[store.vault]
        held.renewable, held.renew_at = False, 0.0
        assert (
            value(store) == "first-value" and vault_login._tokens[store.vault].secret != held.secret
        )

    def test_a_wrong_secret_id_is_told_without_it(
        self, bao: Bao, store: VaultStore, tmp_path: Path
    ) -> None:
        auth = self.approle(bao, tmp_path)
        (tmp_path / "secret_id").write_text("wrong-secret-id-1234")
        with pytest.raises(AccessDenied, match="refuses to log us in") as told:
            replace(store, auth=auth).read()
        assert "wrong-secret-id-1234" not in str(told.value)

    def test_a_token_that_ended_is_told(self, bao: Bao, store: VaultStore, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("s.not-a-token-of-this-server")
        with pytest.raises(AccessDenied, match="403") as told:
            replace(store, auth=VaultAuth(token=Reference("file", str(tmp_path / "token")))).read()
        assert "not-a-token" not in str(told.value)

    def test_without_any_token_it_says_where_one_is_looked_for(
        self, store: VaultStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("VAULT_TOKEN")
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(AccessDenied, match="no Vault token") as told:
            store.read()
        assert "vault login" in told.value.hint
        (tmp_path / ".vault-token").write_text("s.some-token-of-mine")
        with pytest.raises(AccessDenied, match="403"):
            store.read()

    def test_a_token_file_that_is_not_there_is_told(
        self, store: VaultStore, tmp_path: Path
    ) -> None:
        with pytest.raises(NotFound, match="does not exist"):
            replace(store, auth=VaultAuth(file=str(tmp_path / "none"))).read()
        with pytest.raises(AccessDenied, match="cannot be read"):
            replace(store, auth=VaultAuth(file=str(tmp_path))).read()

    def test_two_ways_to_log_in_are_a_mistake(self) -> None:
        with pytest.raises(ConfigError, match="more than one"):
            VaultAuth(file="a", approle=AppRole(role_id="b"))


class TestReferences:
    def test_a_field_is_read(self, bao: Bao) -> None:
        assert Reference.parse({"vault": "secret/app#KEY"}).resolve().reveal() == "first-value"

    @pytest.mark.parametrize("where", ["secret/app#NONE", "secret/none#KEY"])
    def test_what_is_not_there_is_told(self, bao: Bao, where: str) -> None:
        with pytest.raises(NotFound, match="has no field"):
            Reference.parse({"vault": where}).resolve()

    def test_a_reference_without_a_field_is_told(self, bao: Bao) -> None:
        with pytest.raises(ConfigError, match="names no field"):
            Reference.parse({"vault": "secret/app"}).resolve()


class TestServers:
    def test_a_sealed_server_is_waited_for(self, store: VaultStore, bao: Bao) -> None:
        bao.seal()
        try:
            with pytest.raises(TransientError, match="sealed"):
                store.read()
            with pytest.raises(TransientError, match="sealed"):
                store.write(single("second-value"), "1", NOTE)
        finally:
            bao.unseal()
        assert value(store) == "first-value"

    def test_a_killed_server_is_waited_for(self, store: VaultStore, bao: Bao) -> None:
        bao.kill("bao")
        with pytest.raises(TransientError, match="cannot be reached"):
            store.read()
        bao.back()
        assert value(store) == "first-value"

    @pytest.fixture
    def wire(self, bao: Bao, tmp_path: Path) -> Iterator[tuple[Toxiproxy, VaultStore]]:
        with Toxiproxy(tmp_path / "toxiproxy") as proxy:
            address = proxy.proxy("bao", bao.url.removeprefix("http://"))
            yield proxy, VaultStore(path="secret/app", key="KEY", address=f"http://{address}")

    @pytest.mark.parametrize("cut", [20, 250])
    def test_a_write_whose_answer_is_cut_may_have_happened(
        self, wire: tuple[Toxiproxy, VaultStore], cut: int
    ) -> None:
        proxy, store = wire
        held = store.read()
        assert held is not None
        proxy.toxic("bao", "limit_data", bytes=cut)
        with pytest.raises(OutcomeUnknown):
            store.vault.call(
                "POST", "secret/data/app", {"data": {"KEY": "second-value"}}, safe=False
            )
        proxy.heal("bao")
        assert value(store) == "second-value"

    def test_a_connection_that_is_reset_while_reading_is_asked_again_later(
        self, wire: tuple[Toxiproxy, VaultStore]
    ) -> None:
        proxy, store = wire
        proxy.toxic("bao", "reset_peer", timeout=0)
        with pytest.raises(TransientError):
            store.read()

    def test_an_answer_that_does_not_come_in_time(
        self, wire: tuple[Toxiproxy, VaultStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy, store = wire
        store.read()
        monkeypatch.setattr(vault_wire, "_TIMEOUT", 0.3)
        proxy.toxic("bao", "latency", latency=2000)
        with pytest.raises(TransientError):
            store.read()
        with pytest.raises(OutcomeUnknown):
            store.vault.call(
                "POST", "secret/data/app", {"data": {"KEY": "second-value"}}, safe=False
            )

    def test_nobody_there(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("s.token-for-nobody")
        nobody = Vault(
            f"http://127.0.0.1:{free_port()}", auth=VaultAuth(file=str(tmp_path / "token"))
        )
        with pytest.raises(TransientError, match="cannot be reached"):
            nobody.call("POST", "secret/data/app", {}, safe=False)


class _Handler(http.server.BaseHTTPRequestHandler):
    status, headers_, body = 200, {}, b""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(self.status)
        for name, text in {"content-length": str(len(self.body)), **self.headers_}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET


@pytest.mark.parametrize(
    ("status", "headers", "body", "safe", "kind", "words"),
    [
        (200, {}, b"<html>log in</html>", True, PermanentError, "does not answer as Vault"),
        (200, {}, b'["odd"]', True, None, ""),
        (204, {}, b"", True, None, ""),
        (200, {}, b"", True, TransientError, "only in part"),
        (200, {}, b"", False, OutcomeUnknown, "only in part"),
        (
            307,
            {"location": "http://10.0.0.9:8200/v1/x"},
            b"",
            True,
            TransientError,
            "redirects to http://10.0.0.9",
        ),
        (429, {}, b"", True, TransientError, "standby"),
        (472, {}, b"", True, TransientError, "disaster recovery"),
        (473, {}, b"", True, TransientError, "performance standby"),
        (
            412,
            {},
            b'{"errors": ["required index state not present"]}',
            False,
            TransientError,
            "index state",
        ),
        (501, {}, b"", False, TransientError, "not initialised"),
        (502, {}, b"<html>bad gateway</html>", True, TransientError, "502"),
        (502, {}, b"<html>bad gateway</html>", False, OutcomeUnknown, "502"),
        (500, {}, b'{"errors": ["internal error"]}', False, OutcomeUnknown, "internal error"),
        (405, {}, b'{"errors": ["unsupported operation"]}', False, PermanentError, "unsupported"),
        (403, {}, b"", True, AccessDenied, "refuses to read"),
    ],
)
def test_what_servers_and_proxies_say_is_told_by_intent(
    status: int,
    headers: dict[str, str],
    body: bytes,
    safe: bool,
    kind: Any,
    words: str,
    tmp_path: Path,
) -> None:
    handler = type("Odd", (_Handler,), {"status": status, "headers_": headers, "body": body})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    (tmp_path / "token").write_text("s.token-of-a-test")
    odd = Vault(
        f"http://127.0.0.1:{server.server_address[1]}", auth=VaultAuth(file=str(tmp_path / "token"))
    )
    try:
        if kind is None:
            assert odd.call("GET", "x", safe=safe).data == {}
        else:
            with pytest.raises(kind, match=words):
                odd.call("GET", "x", safe=safe)
    finally:
        server.shutdown()
        server.server_close()
