"""What other packages do for us: they send nothing after the deadline, and their programs are held
as ours are.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator import deadline, environment
from rotator.errors import AccessDenied, LeaseLost, OutcomeUnknown, RotatorError, TransientError
from rotator.integrations.aws import client as aws
from rotator.integrations.aws.client import Account
from rotator.integrations.docker import client as docker
from rotator.integrations.docker.client import EngineConnection
from rotator.integrations.kubernetes import cluster as kubernetes
from rotator.integrations.kubernetes.cluster import Cluster
from rotator.integrations.vault.login import VaultAuth
from rotator.integrations.vault.server import Vault
from rotator.reference import Reference
from rotator.secret import Secret

LEASE = 1.0
Unsafe = Callable[[str], object]


class Silent:
    """It takes connections, and whatever is sent; it answers nothing, or a byte each tenth of a
    second.
    """

    def __init__(self, drips: bytes = b"") -> None:
        self.got, self.ended = b"", threading.Event()
        self._drips = drips
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        connection.settimeout(0.1)
        drips = iter(self._drips)
        while True:
            try:
                if not (got := connection.recv(65536)):
                    break
                self.got += got
            except TimeoutError:
                with contextlib.suppress(OSError, StopIteration):
                    connection.sendall(bytes([next(drips)]))
            except OSError:
                break
        self.ended.set()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture(
    params=[b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + b" " * 1000],
    ids=["silent", "drips"],
)
def server(request: pytest.FixtureRequest) -> Iterator[Silent]:
    found = Silent(request.param)
    yield found
    found.close()


def _vault(url: str) -> object:
    pytest.importorskip("hvac", reason="the extra 'vault' is not installed")
    auth = VaultAuth(token=Reference("env", "A_VAULT_TOKEN"))
    return Vault(url, None, None, auth).call("POST", "secret/data/x", {"data": {}}, safe=False)


def _kubernetes(url: str) -> object:
    pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")
    return Cluster(os.environ["A_KUBECONFIG"]).patch(
        "/api/v1/namespaces/n/secrets/s", {}, safe=False
    )


def _aws(url: str) -> object:
    pytest.importorskip("boto3", reason="the extra 'aws' is not installed")
    account = Account("eu-central-1", url, None, None, "AKIA", Secret("a-secret-access-key"))
    return aws.call(
        account, "iam", "delete_access_key", safe=False, UserName="u", AccessKeyId="A" * 20
    )


def _docker(url: str) -> object:
    pytest.importorskip("docker", reason="the extra 'docker' is not installed")
    return docker.call(
        EngineConnection(host=url.replace("http:", "tcp:")),
        lambda api: api.restart("web", timeout=1),
    )


CALLS: dict[str, Unsafe] = {
    "vault": _vault,
    "kubernetes": _kubernetes,
    "aws": _aws,
    "docker": _docker,
}


def _kubeconfig(tmp_path: Path, url: str, user: object) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def call(
    request: pytest.FixtureRequest, tmp_path: Path, server: Silent, monkeypatch: pytest.MonkeyPatch
) -> Unsafe:
    monkeypatch.setenv("A_VAULT_TOKEN", "a-token")
    monkeypatch.setenv("A_KUBECONFIG", str(_kubeconfig(tmp_path, server.url, {"token": "t"})))
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return CALLS[request.param]


all_of_them = pytest.mark.parametrize("call", CALLS, indirect=True)


@all_of_them
def test_a_lease_that_ends_while_it_connects_sends_nothing(
    call: Unsafe, server: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frozen process wakes with its connection made, and somebody else has the lease."""
    connected, connect = threading.Event(), socket.socket.connect

    def slowly(self: socket.socket, address: object) -> None:
        connect(self, address)  # type: ignore[arg-type]
        connected.set()

    monkeypatch.setattr(socket.socket, "connect", slowly)
    with deadline.until(lambda: -1.0 if connected.is_set() else 20.0), pytest.raises(LeaseLost):
        call(server.url)
    time.sleep(0.3)
    assert connected.is_set() and server.got == b""


@all_of_them
def test_what_hangs_ends_with_the_lease_and_so_does_its_connection(
    call: Unsafe, server: Silent
) -> None:
    """By real time; what was given up does not go on reading for as long as it drips."""
    begun = time.monotonic()
    with deadline.until(deadline.within(LEASE)), pytest.raises((OutcomeUnknown, TransientError)):
        call(server.url)
    assert time.monotonic() - begun < LEASE + 2
    assert server.ended.wait(3) and server.got


LOGIN = """#!/bin/sh
env >{folder}/environment
[ -z "{hangs}" ] || {{ sleep 300 & echo $! >{folder}/pid; wait; }}
echo '{answer}'
"""


def _login(folder: Path, answer: object, hangs: str = "") -> Path:
    program = folder / "login"
    program.write_text(LOGIN.format(folder=folder, answer=json.dumps(answer), hangs=hangs))
    program.chmod(0o755)
    return program


def _by_kubeconfig(folder: Path, hangs: str = "") -> None:
    pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "tok"},
    }
    program = {
        "command": str(_login(folder, answer, hangs)),
        "apiVersion": "client.authentication.k8s.io/v1",
        "env": [{"name": "OF_THE_KUBECONFIG", "value": "1"}],
    }
    path = _kubeconfig(folder, "http://127.0.0.1:1", {"exec": program})
    assert Cluster(str(path)).authorization == {"authorization": "Bearer tok"}


def _by_profile(folder: Path, hangs: str = "") -> None:
    pytest.importorskip("boto3", reason="the extra 'aws' is not installed")
    answer = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "of-the-process"}
    program = _login(folder, answer, hangs)
    (folder / "config").write_text(
        f"[profile p]\nregion = eu-central-1\ncredential_process = {program}\n"
    )
    found = aws.session(Account(profile="p")).get_credentials()
    assert found.access_key == "AKIAPROCESS"


@pytest.fixture(params=[_by_kubeconfig, _by_profile], ids=["kubeconfig", "profile"])
def login(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return request.param  # type: ignore[no-any-return]


def test_a_login_program_of_a_package_has_none_of_our_credentials(
    login: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "ROTATOR_KEY", base64.b64encode(b"canary-of-the-sealing-key-8f3k2m").decode()
    )
    monkeypatch.setenv("THE_ADMIN_KEY", "canary-of-the-administrator")
    monkeypatch.setattr(environment, "_referred", {"THE_ADMIN_KEY"})
    login(tmp_path)
    names = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert not names & {"ROTATOR_KEY", "THE_ADMIN_KEY"} and {"PATH", "AWS_CONFIG_FILE"} <= names


def test_a_login_program_that_hangs_is_ended_with_what_it_started(
    login: Callable[..., None], tmp_path: Path
) -> None:
    begun = time.monotonic()
    with deadline.until(deadline.within(LEASE)), pytest.raises((TransientError, AccessDenied)):
        login(tmp_path, hangs="yes")
    assert time.monotonic() - begun < LEASE + 3
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.05)


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "Z"


def test_a_login_program_that_fails_is_told_instead_of_asking_as_nobody(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")
    program = tmp_path / "login"
    program.write_text("#!/bin/sh\necho no session for you >&2\nexit 3\n")
    program.chmod(0o755)
    user = {"exec": {"command": str(program), "apiVersion": "client.authentication.k8s.io/v1"}}
    with pytest.raises(RotatorError) as failed:
        kubernetes.Cluster(str(_kubeconfig(tmp_path, "http://127.0.0.1:1", user))).get("/version")
    assert "login ended with 3: no session for you" in failed.value.message
