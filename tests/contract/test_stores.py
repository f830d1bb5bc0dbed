"""What every store must do; later ones join by a line in STORES."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    PermanentError,
    TransientError,
)
from rotator.integrations.memory import world as memory
from rotator.integrations.vault.login import VaultAuth
from rotator.model import single
from rotator.playbook.registry import Registry
from rotator.reference import Reference
from rotator.secret import Secret
from rotator.testing.stores import NOTE, StoreContract
from rotator.testing.stores import value_in as held
from tests.contract import store_places
from tests.contract.store_places import Servers
from tests.servers import manifests, moto
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.systemd import Systemd


def _dotenv(folder: Path) -> Any:
    (folder / ".env").write_text("A=1\nKEY=first-value\nB=2\n")
    return Registry().find("store", "dotenv")(path=str(folder / ".env"), key="KEY")  # type: ignore[misc]


def _file(folder: Path) -> Any:
    (folder / "key").write_text("first-value\n")
    return Registry().find("store", "file")(path=str(folder / "key"))  # type: ignore[misc]


def _command(folder: Path) -> Any:
    (folder / "held").write_text("first-value")
    return store_places.command(folder / "held")


def _memory(folder: Path, **settings: Any) -> Any:
    memory.WORLD.cells[str(folder)] = memory.Cell({"key": Secret("first-value")}, 1)
    return Registry().find("store", "memory")(cell=str(folder), **settings)  # type: ignore[misc]


def _memory_write_only(folder: Path) -> Any:
    return _memory(folder, write_only=True)


def _secrets_manager(folder: Path, **settings: str) -> Any:
    aws, name = moto_of(folder), f"contract{next(_NAMES)}"
    aws.client("secretsmanager").create_secret(
        Name=name, SecretString='{"other": 1, "KEY": "first-value"}'
    )
    return Registry().find("store", "aws-secrets-manager")(  # type: ignore[misc]
        secret=name,
        key="KEY",
        region=moto.REGION,
        endpoint_url=aws.url,
        credentials={name: _given(folder, name, value) for name, value in _signing(aws).items()},
    )


def _vault(folder: Path, **settings: Any) -> Any:
    return _kv(folder, "secret", **settings)


def _vault_1(folder: Path) -> Any:
    return _kv(folder, "old")


def _kv(folder: Path, mount: str, **settings: Any) -> Any:
    bao, path = _BAO[0], f"contract{next(_NAMES)}"
    held_there: dict[str, Any] = {"other": "1", "KEY": "first-value"}
    whole = (
        (f"secret/data/{path}", {"data": held_there})
        if mount == "secret"
        else (f"{mount}/{path}", held_there)
    )
    bao.call("POST", *whole)
    return Registry().find("store", "vault")(  # type: ignore[misc]
        path=f"{mount}/{path}",
        key="KEY",
        address=bao.url,
        auth=VaultAuth(token=_given(folder, "token", bao.root_token)),
        **settings,
    )


def _ssm(folder: Path, **settings: str) -> Any:
    aws, name = moto_of(folder), f"/contract/{next(_NAMES)}"
    aws.client("ssm").put_parameter(
        Name=name, Type="SecureString", Value='{"other": 1, "KEY": "first-value"}'
    )
    return Registry().find("store", "aws-ssm")(  # type: ignore[misc]
        parameter=name,
        key="KEY",
        region=moto.REGION,
        endpoint_url=aws.url,
        credentials={name: _given(folder, name, value) for name, value in _signing(aws).items()},
    )


def _signing(aws: moto.Aws) -> dict[str, str]:
    return {"access_key_id": aws.access_key_id, "secret_access_key": aws.secret_access_key}


def _given(folder: Path, name: str, value: str) -> Reference:
    (folder / name).write_text(value)
    return Reference("file", str(folder / name))


_NAMES = itertools.count(1)
_AWS: list[moto.Aws] = []


def moto_of(folder: Path) -> moto.Aws:
    return _AWS[0]


def _kubernetes(folder: Path) -> Any:
    kube, name = _KUBE[0], f"contract{next(_NAMES)}"
    kube.apply(manifests.secret(name, "default", KEY="first-value", other="1"))
    return Registry().find("store", "kubernetes")(  # type: ignore[misc]
        secret=f"default/{name}", key="KEY", kubeconfig=kube.env["KUBECONFIG"]
    )


def _on_host(folder: Path, uses: str, **settings: Any) -> Any:
    server, name = _HOST[0], f"contract{next(_NAMES)}"
    place = {"path": f"/srv/shared/{name}", "host": server.name, "ssh_config": str(server.config)}
    return Registry().find("store", uses)(**place, **settings)  # type: ignore[misc]


def _dotenv_on_host(folder: Path) -> Any:
    store = _on_host(folder, "dotenv", key="KEY")
    (_HOST[0].shared / Path(store.path).name).write_text("A=1\nKEY=first-value\nB=2\n")
    return store


def _file_on_host(folder: Path) -> Any:
    store = _on_host(folder, "file")
    (_HOST[0].shared / Path(store.path).name).write_text("first-value\n")
    return store


def _systemd_creds(folder: Path) -> Any:
    store = _on_host(
        folder, "systemd-creds", with_key="host"
    )  # `auto` wants its key on a disk, or a TPM
    store.write(single("first-value"), "", NOTE)
    return store


_HOST: list[Systemd] = []
_KUBE: list[Kube] = []
_BAO: list[Bao] = []


pytestmark = pytest.mark.server("kube")


@pytest.fixture(name="bao", scope="module")
def _bao(bao: Bao) -> Bao:
    bao.call("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    return bao


@pytest.fixture(name="aws")
def _aws_for_stores(aws: moto.Aws) -> moto.Aws:
    _AWS[:] = [aws]
    return aws


STORES: dict[str, Callable[[Path], Any]] = {
    "dotenv": _dotenv,
    "file": _file,
    "command": _command,
    "memory": _memory,
    "memory, write-only": _memory_write_only,
    "aws-secrets-manager": _secrets_manager,
    "aws-ssm": _ssm,
    "vault": _vault,
    "vault of version 1": _vault_1,
    "kubernetes": _kubernetes,
    "dotenv on a host": _dotenv_on_host,
    "file on a host": _file_on_host,
    "systemd-creds": _systemd_creds,
}


class TestStores(StoreContract):
    @pytest.fixture(params=STORES, ids=lambda name: name)
    def place(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def servers(self, place: str, request: pytest.FixtureRequest) -> Servers:
        if place.startswith("aws"):
            return Servers(aws=request.getfixturevalue("aws"))
        if place.startswith("vault"):
            _BAO[:] = [request.getfixturevalue("bao")]
            return Servers(bao=_BAO[0])
        if place == "kubernetes":
            _KUBE[:] = [request.getfixturevalue("kube")]
            return Servers(kube=_KUBE[0])
        if place.endswith("host") or place == "systemd-creds":
            _HOST[:] = [request.getfixturevalue("systemd")]
            return Servers(host=_HOST[0])
        return Servers()

    @pytest.fixture
    def uses(self, place: str) -> str:
        return re.split(",| of | on ", place)[0]

    @pytest.fixture
    def store(self, place: str, servers: Servers, tmp_path: Path) -> Any:
        return STORES[place](tmp_path)

    @pytest.fixture
    def put(self, servers: Servers, store: Any) -> Callable[[str], None]:
        return lambda value: store_places.put(servers, store, value)

    @pytest.fixture
    def absent(self, store: Any, tmp_path: Path) -> Any:
        return store_places.absent(store, tmp_path)

    def value_in(self, store: Any) -> str:
        if not store.write_only:
            return super().value_in(store)
        values = memory.WORLD.cell(store.cell).values
        return values["key"].reveal() if values else ""

    @pytest.fixture(params=store_places.UNREACHABLE, ids=lambda name: name)
    def unreachable(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        return store_places.UNREACHABLE[request.param](tmp_path)


class TestFiles:
    """Stores that are files on this machine."""

    @pytest.fixture(params=["dotenv", "file"])
    def pair(self, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
        return STORES[request.param](tmp_path), tmp_path / {"dotenv": ".env", "file": "key"}[
            request.param
        ]

    def test_mode_and_symlink_are_kept(self, pair: tuple[Any, Path], tmp_path: Path) -> None:
        store, path = pair
        real = tmp_path / "real"
        path.rename(real)
        real.chmod(0o640)
        path.symlink_to(real)
        store.write(single("second-value"), store.read().version, NOTE)
        assert path.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640
        assert held(store) == "second-value"

    def test_nothing_is_left_beside_the_file(self, pair: tuple[Any, Path], tmp_path: Path) -> None:
        store, path = pair
        before = sorted(path.name for path in tmp_path.iterdir())
        store.write(single("second-value"), store.read().version, NOTE)
        with pytest.raises(Conflict):
            store.write(single("late-value"), "outdated", NOTE)
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    def test_what_an_interrupted_write_left_is_tidied(
        self, pair: tuple[Any, Path], tmp_path: Path
    ) -> None:
        store, path = pair
        left = path.with_name(f".{path.name}.rotator-01DEAD")
        left.write_text("half")
        store.tidy("")
        assert not left.exists()

    def test_a_full_disk_loses_nothing(
        self, pair: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import errno

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        store, path = pair
        before = path.read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(TransientError, match="No space"):
            store.write(single("second-value"), store.read().version, NOTE)
        assert path.read_bytes() == before

    def test_a_directory_that_may_not_be_written_is_told(
        self, pair: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import errno

        opened = os.open

        def denied(path: Any, flags: int, *mode: int, **more: Any) -> int:
            if flags & os.O_WRONLY:
                raise OSError(errno.EROFS, "Read-only file system")
            return opened(path, flags, *mode, **more)

        store, path = pair
        version = store.read().version
        monkeypatch.setattr(os, "open", denied)
        with pytest.raises(AccessDenied, match="Read-only"):
            store.write(single("second-value"), version, NOTE)

    def test_an_absent_file_is_made_for_its_owner_only(self, pair: tuple[Any, Path]) -> None:
        store, path = pair
        path.unlink()
        assert store.read() is None
        store.write(single("new-value"), "", NOTE)
        assert held(store) == "new-value" and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_on_a_host_keeps_its_acl_and_is_refused_where_it_could_not(
    systemd: Systemd, tmp_path: Path
) -> None:
    """By ssh: in undo, too; and what would be lost is found before the start."""
    _HOST[:] = [systemd]
    store = _file_on_host(tmp_path)
    there = systemd.shared / Path(store.path).name
    entries = (
        "01000600ffffffff",
        "02000400feff0000",
        "04000000ffffffff",
        "10000400ffffffff",
        "20000000ffffffff",
    )
    nobody_reads = bytes.fromhex("02000000" + "".join(entries))
    os.setxattr(there, "system.posix_acl_access", nobody_reads)
    os.setxattr(there, "user.owner", b"team-a")
    for value in ("second-value", "first-value"):
        store.write(single(value), store.read().version, NOTE)
        kept = {name: os.getxattr(there, name) for name in os.listxattr(there)}
        assert (
            kept == {"system.posix_acl_access": nobody_reads, "user.owner": b"team-a"}
            and held(store) == value
        )
    assert not store.preflight()
    os.link(there, there.with_name(f"{there.name}-too"))
    assert "has 2 names" in store.preflight()[0].text
    with pytest.raises(PermanentError, match="hard links"):
        store.write(single("third-value"), store.read().version, NOTE)
    there.with_name(f"{there.name}-too").unlink()
    systemd.ssh(
        f"cp {store.path} {store.path}.source && mount --bind {store.path}.source {store.path}"
    )
    assert "is mounted by itself" in store.preflight()[0].text
    systemd.ssh(f"umount {store.path}")
    (systemd.shared / "elsewhere").touch()
    consumer = f"mount --bind {store.path} /srv/shared/elsewhere && echo begun && exec sleep 30"
    begin = f"unshare -m sh -c '{consumer}' </dev/null >/srv/shared/begun 2>&1 &"
    systemd.ssh(f"{begin} while [ ! -s /srv/shared/begun ]; do sleep 0.05; done")
    (holder,) = store.holders()
    assert holder.place == "/srv/shared/elsewhere"
    systemd.ssh(f"kill {holder.pid}")


def test_a_sealed_credential_keeps_what_stands_around_it(systemd: Systemd, tmp_path: Path) -> None:
    _HOST[:] = [systemd]
    assert not [found for found in _systemd_creds(tmp_path).preflight() if "the key" in found.text]
    for text in ("first-value\r\n", "first-value\n\n"):
        store = _on_host(tmp_path, "systemd-creds", with_key="host")
        store.write(single(text), "", NOTE)
        assert held(store) == "first-value"
        assert [found for found in store.preflight() if "behind the key" in found.text]
        store.write(single("second-value"), store.read().version, NOTE)
        shown = systemd.ssh(
            f"systemd-creds decrypt --name={Path(store.path).name} {store.path} - | base64 -w0"
        )
        assert base64.b64decode(shown).decode() == text.replace("first", "second")


class TestFile:
    """A file that is the key."""

    @pytest.mark.parametrize(
        "text",
        [
            "first-value",
            "first-value\n",
            "first-value\r\n",
            "\ufefffirst-value\r\n",
            "\n first-value\n\n",
        ],
    )
    def test_what_stands_around_the_key_stays_in_undo_too(self, tmp_path: Path, text: str) -> None:
        store, path = _file(tmp_path), tmp_path / "key"
        path.write_bytes(text.encode())
        for value in ("second-value", "first-value"):
            store.write(single(value), store.read().version, NOTE)
            assert (
                path.read_bytes().decode() == text.replace("first-value", value)
                and held(store) == value
            )
        assert [one.text for one in store.preflight() if "the key" in one.text] or text.rstrip(
            "\n"
        ) == "first-value"

    @pytest.mark.parametrize("content", ["first-value".encode("utf-16"), b"caf\xe9-value\n"])
    def test_another_encoding_is_refused_and_stays(self, tmp_path: Path, content: bytes) -> None:
        store, path = _file(tmp_path), tmp_path / "key"
        path.write_bytes(content)
        for act in (store.read, lambda: store.write(single("second-value"), "", NOTE)):
            with pytest.raises(PermanentError, match="is not UTF-8"):
                act()
        assert path.read_bytes() == content


class TestDotenv:
    """Only the value changes, byte for byte."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("KEY=old\n", "KEY=new-1\n"),
            ("export KEY=old # mine\nOTHER=x\n", "export KEY=new-1 # mine\nOTHER=x\n"),
            ("KEY='old'\r\nB=\"2\"\r\n", "KEY='new-1'\r\nB=\"2\"\r\n"),
            ('KEY="old"', 'KEY="new-1"'),
            ("# KEY=no\n  KEY = old\n", "# KEY=no\n  KEY = new-1\n"),
            ("KEY=old\nKEY=old\n", "KEY=new-1\nKEY=new-1\n"),
            ("\ufeffKEY=old\n", "\ufeffKEY=new-1\n"),
            ("MY_KEY=old\nKEYS=old", "MY_KEY=old\nKEYS=old\nKEY=new-1\n"),
            ('A="x\nKEY=inside\n"\nKEY=old\n', 'A="x\nKEY=inside\n"\nKEY=new-1\n'),
            ("", "KEY=new-1\n"),
        ],
    )
    def test_the_rest_stays(self, tmp_path: Path, before: str, after: str) -> None:
        store = _dotenv(tmp_path)
        path = tmp_path / ".env"
        path.write_bytes(before.encode())
        found = store.read()
        store.write(single("new-1"), found.version if found else "", NOTE)
        assert path.read_bytes() == after.encode()

    @pytest.mark.parametrize(
        "value", ["plain", "with space", "quo'te", 'dou"ble$x`', "back\\slash", "a#b"]
    )
    def test_any_value_is_read_back(self, tmp_path: Path, value: str) -> None:
        store = replace(_dotenv(tmp_path), readers=["bash"])
        store.write(single(value), store.read().version, NOTE)
        assert held(store) == value

    def test_a_line_break_is_refused(self, tmp_path: Path) -> None:
        store = _dotenv(tmp_path)
        with pytest.raises(PermanentError, match="line break"):
            store.write(single("two\nlines"), store.read().version, NOTE)

    def test_git_that_would_take_the_file_is_told(self, tmp_path: Path) -> None:
        import subprocess

        store = _dotenv(tmp_path)
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        assert "git does not ignore" in store.preflight()[0].text
        (tmp_path / ".gitignore").write_text(".env\n")
        assert not [finding for finding in store.preflight() if "git does" in finding.text]


LAID_OUT = (
    '{\n\t"port" : 1.10, "port": 1.20,\n\t"KEY":"first-value" , "n": 12345678901234567890123\n}\n'
)


class TestSecretsManager:
    """What is particular to AWS Secrets Manager, at moto with authorisation switched on."""

    @pytest.fixture
    def pair(self, aws: moto.Aws, tmp_path: Path) -> tuple[Any, Any]:
        return _secrets_manager(tmp_path), aws.client("secretsmanager")

    def test_other_fields_stay_and_labels_move(self, pair: tuple[Any, Any]) -> None:
        store, client = pair
        before = store.read().version
        made = store.write(single("second-value"), before, NOTE)
        held = client.get_secret_value(SecretId=store.secret, VersionStage="AWSCURRENT")
        assert json.loads(held["SecretString"]) == {"other": 1, "KEY": "second-value"}
        stages = client.describe_secret(SecretId=store.secret)["VersionIdsToStages"]
        assert stages[made] == ["AWSCURRENT"], "no AWSPENDING is left on it"
        assert stages[before] == ["AWSPREVIOUS"]
        store.retire(before)
        assert not client.describe_secret(SecretId=store.secret)["VersionIdsToStages"].get(before)

    def test_the_text_around_the_key_stays_as_it_is_written(self, pair: tuple[Any, Any]) -> None:
        store, client = pair
        for key, text in (("KEY", LAID_OUT), (None, "\ufefffirst-value\n")):
            client.create_secret(Name=f"laid-out-{key}", SecretString=text)
            one = replace(store, key=key, secret=f"laid-out-{key}")
            assert held(one) == "first-value"
            one.write(single("second-value"), one.read().version, NOTE)
            found = client.get_secret_value(SecretId=one.secret, VersionStage="AWSCURRENT")[
                "SecretString"
            ]
            assert found == text.replace("first-value", "second-value")
        assert [
            "byte order mark" in one.preflight()[0].text,
            "a newline" in one.preflight()[1].text,
        ] == [True, True]

    def test_a_field_that_stands_there_twice_is_not_guessed(self, pair: tuple[Any, Any]) -> None:
        store, client = pair
        client.put_secret_value(SecretId=store.secret, SecretString='{"KEY": "a", "KEY": "b"}')
        with pytest.raises(PermanentError, match="2 times, with different values"):
            store.read()

    def test_a_change_between_reading_and_promoting_is_a_conflict(
        self, pair: tuple[Any, Any]
    ) -> None:
        """Somebody writes while our version is pending: theirs stays current, ours is let go."""
        store, client = pair
        real = type(store)._promote

        def late(self: Any, version: str, current: str) -> None:
            client.put_secret_value(SecretId=store.secret, SecretString='{"KEY": "theirs"}')
            real(self, version, current)

        before = store.read().version
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(store), "_promote", late)
            with pytest.raises(Conflict):
                store.write(single("ours"), before, NOTE)
        assert held(store) == "theirs"

    def test_a_pending_version_that_a_crash_left_is_tidied(self, pair: tuple[Any, Any]) -> None:
        store, client = pair
        left = "rotator-00000000-0000-4000-8000-000000000000"
        client.put_secret_value(
            SecretId=store.secret,
            ClientRequestToken=left,
            SecretString="half",
            VersionStages=["AWSPENDING"],
        )
        store.tidy("")
        stages = client.describe_secret(SecretId=store.secret)["VersionIdsToStages"]
        assert "AWSPENDING" not in stages.get(left, [])

    def test_a_secret_on_its_way_out_is_refused(self, pair: tuple[Any, Any]) -> None:
        store, client = pair
        client.delete_secret(SecretId=store.secret, RecoveryWindowInDays=7)
        assert "scheduled for deletion" in store.preflight()[0].text

    def test_an_absent_secret_is_told(self, pair: tuple[Any, Any]) -> None:
        store, _ = pair
        assert "does not exist" in replace(store, secret="nowhere").preflight()[0].text
        assert replace(store, secret="nowhere").read() is None

    @pytest.mark.parametrize(
        ("text", "words"), [("not json", "is not JSON"), ("[1]", "not a JSON object")]
    )
    def test_what_is_no_object_is_told(self, pair: tuple[Any, Any], text: str, words: str) -> None:
        store, client = pair
        client.put_secret_value(SecretId=store.secret, SecretString=text)
        with pytest.raises(PermanentError, match=words):
            store.read()

    def test_credentials_that_are_refused_are_a_sentence(
        self, pair: tuple[Any, Any], tmp_path: Path
    ) -> None:
        store, _ = pair
        (tmp_path / "secret_access_key").write_text("wrong")
        with pytest.raises(AccessDenied, match="SignatureDoesNotMatch"):
            store.read()


class TestAwsReferences:
    """Secrets that playbooks refer to: {aws-sm: …} and {aws-ssm: …}, signed as boto3 does it."""

    @pytest.fixture(autouse=True)
    def environment(self, aws: moto.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)

    def test_a_whole_secret_and_a_field_of_one(self, aws: moto.Aws) -> None:
        client = aws.client("secretsmanager")
        client.create_secret(Name="refs/plain", SecretString="plain-admin-key\n")
        client.create_secret(Name="refs/json", SecretString='{"admin": "json-admin-key"}')
        assert Reference("aws-sm", "refs/plain").resolve().reveal() == "plain-admin-key"
        assert Reference("aws-sm", "refs/json#admin").resolve().reveal() == "json-admin-key"
        with pytest.raises(NotFound, match="no field"):
            Reference("aws-sm", "refs/json#other").resolve()
        with pytest.raises(NotFound):
            Reference("aws-sm", "refs/nowhere").resolve()

    def test_a_parameter_is_decrypted(self, aws: moto.Aws) -> None:
        aws.client("ssm").put_parameter(
            Name="/refs/admin", Value="ssm-admin-key", Type="SecureString"
        )
        assert Reference("aws-ssm", "/refs/admin").resolve().reveal() == "ssm-admin-key"
        with pytest.raises(NotFound):
            Reference("aws-ssm", "/refs/nowhere").resolve()

    def test_a_profile_that_is_none_is_told(self) -> None:
        store = Registry().find("store", "aws-secrets-manager")(secret="x", profile="nobody")  # type: ignore[misc]
        with pytest.raises(AccessDenied, match="profile"):
            store.read()

    def test_without_boto3_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "boto3", None)
        with pytest.raises(ConfigError) as told:
            Reference("aws-sm", "x").resolve()
        assert re.search(r"pip install 'boto3[<>=]", told.value.hint), told.value.hint

    def test_an_endpoint_that_is_not_there_is_for_now(self) -> None:
        store = Registry().find("store", "aws-secrets-manager")(
            secret="x", endpoint_url="http://127.0.0.1:9"
        )  # type: ignore[misc]
        with pytest.raises(TransientError):
            store.read()


def _sent(act: Callable[[], Any]) -> dict[str, Any]:
    """The body of the last request that writes a parameter, as it left."""
    from botocore.httpsession import URLLib3Session

    bodies, real = [], URLLib3Session.send

    def send(self: Any, request: Any) -> Any:
        if "PutParameter" in str(request.headers["X-Amz-Target"]):
            bodies.append(json.loads(request.body))
        return real(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", send)
        act()
    return bodies[-1]


class TestParameterStore:
    """What is peculiar to AWS's parameters."""

    def test_other_fields_and_the_type_stay(self, aws: moto.Aws, tmp_path: Path) -> None:
        store = _ssm(tmp_path)
        store.write(single("second-value"), store.read().version, NOTE)
        found = aws.client("ssm").get_parameter(Name=store.parameter, WithDecryption=True)[
            "Parameter"
        ]
        assert (
            json.loads(found["Value"]) == {"other": 1, "KEY": "second-value"}
            and found["Type"] == "SecureString"
        )

    def test_the_text_around_the_key_stays_as_it_is_written(
        self, aws: moto.Aws, tmp_path: Path
    ) -> None:
        client, store = aws.client("ssm"), _ssm(tmp_path)
        for key, text in (("KEY", LAID_OUT), (None, "first-value\r\n")):
            client.put_parameter(
                Name=store.parameter, Type="SecureString", Value=text, Overwrite=True
            )
            one = replace(store, key=key)
            assert held(one) == "first-value"
            one.write(single("second-value"), one.read().version, NOTE)
            found = client.get_parameter(Name=store.parameter, WithDecryption=True)["Parameter"][
                "Value"
            ]
            assert found == text.replace("first-value", "second-value")
        assert "CR LF" in one.preflight()[-1].text

    def test_all_else_that_the_parameter_has_is_in_the_request(
        self, aws: moto.Aws, tmp_path: Path
    ) -> None:
        """AWS takes its default key and tier where it is told none. moto keeps them: so the request
        is looked at.
        """
        has = {
            "KeyId": "alias/team",
            "Tier": "Advanced",
            "Description": "of team",
            "AllowedPattern": ".*",
        }
        client, name = aws.client("ssm"), f"/contract/{next(_NAMES)}"
        client.put_parameter(
            Name=name, Type="SecureString", Value="first-value", DataType="text", **has
        )
        store = replace(_ssm(tmp_path), parameter=name, key=None)
        sent = _sent(lambda: store.write(single("second-value"), store.read().version, NOTE))
        assert {
            "DataType": "text",
            "Type": "SecureString",
            "Name": name,
            **has,
        }.items() <= sent.items()
        client.put_parameter(Name="/of-text", Type="String", Value="first-value")
        plain = replace(store, parameter="/of-text")
        sent = _sent(lambda: plain.write(single("second-value"), plain.read().version, NOTE))
        assert "KeyId" not in sent, "AWS refuses it for what is not encrypted"

    def test_who_may_not_see_the_key_is_told_before_the_start(
        self, aws: moto.Aws, tmp_path: Path
    ) -> None:
        """By its history, which a policy can allow for one parameter; by neither, it is refused."""
        store = _ssm(tmp_path)
        iam, (access, secret) = aws.client("iam"), aws.user(name := f"ssm{next(_NAMES)}")
        limited = {"access_key_id": access, "secret_access_key": secret}
        store = replace(
            store,
            credentials={
                what: _given(tmp_path, f"of-{what}", one) for what, one in limited.items()
            },
        )
        iam.delete_user_policy(UserName=name, PolicyName="all")

        def may(*actions: str) -> None:
            allowed = [f"ssm:{action}" for action in ("GetParameter", "PutParameter", *actions)]
            document = {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}],
            }
            iam.put_user_policy(
                UserName=name, PolicyName="some", PolicyDocument=json.dumps(document)
            )

        may("GetParameterHistory")
        assert store.preflight() == []
        assert _sent(lambda: store.write(single("second-value"), store.read().version, NOTE))[
            "KeyId"
        ]
        may()
        with pytest.raises(AccessDenied, match="may not see which KMS key") as told:
            store.preflight()
        assert "ssm:GetParameterHistory" in told.value.hint
        with pytest.raises(AccessDenied, match="may not see which KMS key"):
            store.write(single("third-value"), store.read().version, NOTE)
        assert held(store) == "second-value"

    def test_the_whole_value_may_be_the_key(self, aws: moto.Aws, tmp_path: Path) -> None:
        store = replace(_ssm(tmp_path), key=None)
        store.write(single("second-value"), store.read().version, NOTE)
        found = aws.client("ssm").get_parameter(Name=store.parameter, WithDecryption=True)[
            "Parameter"
        ]
        assert found["Value"] == "second-value" and held(store) == "second-value"

    def test_what_cannot_work_is_told(self, aws: moto.Aws, tmp_path: Path) -> None:
        store = replace(_ssm(tmp_path), parameter="/nobody/made-it")
        assert "does not exist" in store.preflight()[0].text and store.read() is None
        with pytest.raises(NotFound, match="does not exist"):
            store.write(single("x"), "", NOTE)
        aws.client("ssm").put_parameter(Name="/plain", Type="String", Value="no JSON")
        plain = replace(store, parameter="/plain")
        assert "is a String" in plain.preflight()[0].text
        with pytest.raises(PermanentError, match="is not JSON"):
            plain.read()
        with pytest.raises(ConfigError, match="no parameter's name"):
            replace(store, parameter="/a:3")
        assert (
            replace(store, parameter="arn:aws:ssm:eu-central-1:123456789012:parameter/a").key
            == "KEY"
        )
