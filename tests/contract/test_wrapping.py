"""The sealing key wrapped by Vault's transit engine or AWS KMS: on the disk lies nothing that opens
a seal.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from rotator.errors import ConfigError, NotFound, PluginError, TransientError
from rotator.journal import credentials
from rotator.journal.journal import Journal, open_journal
from rotator.journal.sealing import KeySource
from rotator.model import single
from rotator.playbook.registry import wrapping_ways
from tests.servers.bao import Bao


@pytest.fixture(name="bao", scope="module")
def _bao(bao: Bao) -> Bao:
    bao.call("POST", "sys/mounts/transit", {"type": "transit"})
    bao.call("POST", "transit/keys/rotator", {})
    return bao


@pytest.fixture(params=["vault-transit", "aws-kms"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "vault-transit":
        server = request.getfixturevalue("bao")
        monkeypatch.setenv("VAULT_ADDR", server.url)
        monkeypatch.setenv("VAULT_TOKEN", server.root_token)
        return "vault-transit:transit/rotator"
    aws = request.getfixturevalue("aws")
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return f"aws-kms:{aws.client('kms').create_key()['KeyMetadata']['KeyId']}"


def opened(folder: Path, how: str) -> Journal:
    return open_journal(
        f"sqlite:///{folder}/journal.db",
        KeySource(folder / "key", seal_with=how, ways=wrapping_ways()),
    )


def test_what_was_sealed_opens_again_and_the_key_on_the_disk_is_wrapped(
    how: str, tmp_path: Path
) -> None:
    journal = opened(tmp_path, how)
    credential = single("sk-canary-under-a-wrapped-key-01", key_id="k1")
    key = journal.key_of(credential)
    with journal.database.write() as connection:
        credentials.keep(connection, journal.sealer, "p", "r", key, credential, 0.0)
    journal.database.close()
    kept = (tmp_path / "key").read_text().strip()
    assert kept.startswith(("vault:v1:", "aws-kms:"))
    again = opened(tmp_path, how)
    with again.database.read() as connection:
        found = credentials.value_of(connection, again.sealer, "p", key)
    assert found is not None and found.primary.reveal() == "sk-canary-under-a-wrapped-key-01"


def test_each_new_key_is_another_one_of_32_bytes(how: str, tmp_path: Path) -> None:
    source = KeySource(tmp_path / "key", seal_with=how, ways=wrapping_ways())
    (one, kept), (two, _) = source.new_key(), source.new_key()
    assert one != two and len(base64.b64decode(one.reveal())) == 32
    assert wrapping_ways().parse(how).open(kept) == one and one.reveal() not in kept


def test_a_wrapped_key_needs_to_be_told_by_whom(how: str, tmp_path: Path) -> None:
    opened(tmp_path, how).database.close()
    with pytest.raises(ConfigError, match="holds a wrapped key"):
        opened(tmp_path, "")


def test_a_plain_key_goes_on_to_open_once_new_ones_are_wrapped(how: str, tmp_path: Path) -> None:
    opened(tmp_path, "").database.close()
    assert opened(tmp_path, how).sealer is not None


def test_a_keeper_that_does_not_know_the_key_is_told(how: str, tmp_path: Path) -> None:
    stranger = wrapping_ways().parse(
        how.rpartition("/")[0] + "/nobody" if "/" in how else "aws-kms:nobody"
    )
    with pytest.raises((NotFound, PluginError)):
        stranger.make()
    _, kept = wrapping_ways().parse(how).make()
    with pytest.raises((NotFound, PluginError)):
        stranger.open(kept)


def test_a_sealed_vault_is_waited_for_not_replaced(
    bao: Bao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    monkeypatch.setenv("VAULT_TOKEN", bao.root_token)
    opened(tmp_path, "vault-transit:transit/rotator").database.close()
    before = (tmp_path / "key").read_text()
    bao.seal()
    try:
        with pytest.raises(TransientError, match="sealed"):
            opened(tmp_path, "vault-transit:transit/rotator")
    finally:
        bao.unseal()
    assert (tmp_path / "key").read_text() == before


@pytest.mark.parametrize(
    "text", ["transit/rotator", "vault-transit:", "vault-transit:rotator", "gcp-kms:x"]
)
def test_a_way_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="no way to wrap"):
        wrapping_ways().parse(text)
