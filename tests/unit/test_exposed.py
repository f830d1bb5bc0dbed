"""What a playbook lays open: credentials in files that everyone reads, keys that travel in clear
text.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rotator.engine import exposed
from rotator.playbook.directory import Directory

PLAYBOOK = """
generate: {{uses: openrouter, management_key: {{file: {folder}/admin}}, base_url: {base}}}
store: [{{uses: vault, path: kv/app, key: KEY, address: {vault}}}]
verify: [{{uses: http, url: {probe}, headers: {{authorization: 'Bearer {{key}}'}}}}, {{uses: http, url: {health}}}]
"""


def warnings(folder: Path, **addresses: str) -> list[str]:
    safe = dict.fromkeys(("base", "vault", "probe", "health"), "https://issuer.example")
    (folder / "one.yaml").write_text(PLAYBOOK.format(folder=folder, **{**safe, **addresses}))
    loaded = Directory((folder,)).load()
    assert not loaded.mistakes
    return [finding.text for finding in exposed.exposed(loaded.playbooks["one"])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "admin").write_text("key")
    (tmp_path / "admin").chmod(0o640)
    return tmp_path


def test_a_credential_that_everyone_reads_is_told_with_the_way_out(folder: Path) -> None:
    assert warnings(folder) == []
    (folder / "admin").chmod(0o644)
    assert warnings(folder) == [f"{folder}/admin (management_key) is readable by everyone"]
    (folder / "admin").unlink()
    assert warnings(folder) == [], "that it is missing is told when it is read"


def test_a_mounted_secret_is_read_by_nobody_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes and Swarm mount them with the mode 0444 or 0644, read-only; nobody could change
    that.
    """
    (folder / "admin").chmod(0o644)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert warnings(folder) == []


@pytest.mark.parametrize("name", ["base", "vault", "probe"])
def test_a_key_that_travels_in_clear_text_is_told(name: str, folder: Path) -> None:
    (told,) = warnings(folder, **{name: "http://10.0.0.7:8200/v1"})
    assert "keys travel to 10.0.0.7 in clear text" in told and "http://10.0.0.7:8200/v1" in told


def test_a_probe_that_sends_no_key_may_ask_as_it_likes(folder: Path) -> None:
    assert warnings(folder, health="http://shop.example/health") == []


def test_vaults_address_may_come_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", "http://vault.example:8200")
    (told,) = warnings(folder, vault="", base="")
    assert "keys travel to vault.example in clear text (its usual address" in told


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8080/v1", ""),
        ("http://127.9.9.9", ""),
        ("http://[::1]:80", ""),
        ("http://localhost:3000", ""),
        ("http://api.localhost", ""),
        ("http://localhost.example", "localhost.example"),
        ("http://127.0.0.1.example/", "127.0.0.1.example"),
        ("http://[fe80::1]/", "fe80::1"),
        ("http://192.168.1.1/", "192.168.1.1"),
    ],
)
def test_this_machine_itself_is_no_other_host(url: str, host: str) -> None:
    assert exposed.clear(url) == host


def test_an_address_that_cannot_be_read_names_no_host() -> None:
    assert exposed.clear("http://[::1") == "" and exposed.clear("http://10.0.0.7/v1") == "10.0.0.7"
