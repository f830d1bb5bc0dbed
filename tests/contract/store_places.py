"""The places of the stores under contract, as somebody else sees them: past the plugins."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rotator.integrations.aws.secrets_manager import AwsSecretsManagerStore
from rotator.integrations.aws.ssm import AwsSsmStore
from rotator.integrations.command.store import CommandStore
from rotator.integrations.files.dotenv import DotenvStore
from rotator.integrations.files.file import FileStore
from rotator.integrations.kubernetes.store import KubernetesStore
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.store import MemoryStore
from rotator.integrations.systemd.credentials import SystemdCredsStore
from rotator.integrations.vault.login import VaultAuth
from rotator.integrations.vault.store import VaultStore
from rotator.reference import Reference
from rotator.secret import Secret
from tests.servers import manifests, moto

_NOWHERE = "127.0.0.1:9"


@dataclass(frozen=True)
class Servers:
    """The one that a store needs; None for the others."""

    aws: Any = None
    bao: Any = None
    kube: Any = None
    host: Any = None


def put(servers: Servers, store: Any, value: str) -> None:
    """Writes a value into the store's place."""
    _PUT[type(store)](servers, store, value)


def _file_of(servers: Servers, store: Any) -> Path:
    path = Path(store.path)
    return servers.host.shared / path.name if store.host else path


def _put_dotenv(servers: Servers, store: DotenvStore, value: str) -> None:
    _file_of(servers, store).write_text(f"A=1\nKEY={value}\nB=2\n")


def _put_file(servers: Servers, store: FileStore, value: str) -> None:
    _file_of(servers, store).write_text(f"{value}\n")


def _put_command(servers: Servers, store: CommandStore, value: str) -> None:
    assert store.read_argv is not None
    Path(store.read_argv[1]).write_text(value)


def _put_memory(servers: Servers, store: MemoryStore, value: str) -> None:
    cell = memory.WORLD.cell(store.cell)
    cell.values, cell.version = {"key": Secret(value)}, cell.version + 1


def _fields(value: str) -> str:
    return json.dumps({"other": 1, "KEY": value})


def _put_secrets_manager(servers: Servers, store: AwsSecretsManagerStore, value: str) -> None:
    client = servers.aws.client("secretsmanager")
    client.put_secret_value(SecretId=store.secret, SecretString=_fields(value))


def _put_ssm(servers: Servers, store: AwsSsmStore, value: str) -> None:
    client, wanted = servers.aws.client("ssm"), _fields(value)
    client.put_parameter(Name=store.parameter, Type="SecureString", Value=wanted, Overwrite=True)


def _put_vault(servers: Servers, store: VaultStore, value: str) -> None:
    fields = {"other": "1", "KEY": value}
    mount, _, path = store.path.partition("/")
    if mount == "secret":
        servers.bao.call("POST", f"secret/data/{path}", {"data": fields})
    else:
        servers.bao.call("POST", store.path, fields)


def _put_kubernetes(servers: Servers, store: KubernetesStore, value: str) -> None:
    namespace, _, name = store.secret.partition("/")
    # It tells in whole seconds when a field was written: two writes of one manager within a second
    # look alike
    time.sleep(1.1)
    servers.kube.apply(manifests.secret(name, namespace, KEY=value, other="1"))


def _put_systemd_creds(servers: Servers, store: SystemdCredsStore, value: str) -> None:
    encrypt = f"systemd-creds encrypt --with-key=host --name={Path(store.path).name} - -"
    servers.host.ssh(
        f"printf %s {value} | {encrypt} >{store.path}.new && mv {store.path}.new {store.path}"
    )


_PUT: Mapping[type[Any], Callable[[Servers, Any, str], None]] = {
    DotenvStore: _put_dotenv,
    FileStore: _put_file,
    CommandStore: _put_command,
    MemoryStore: _put_memory,
    AwsSecretsManagerStore: _put_secrets_manager,
    AwsSsmStore: _put_ssm,
    VaultStore: _put_vault,
    KubernetesStore: _put_kubernetes,
    SystemdCredsStore: _put_systemd_creds,
}


def absent(store: Any, folder: Path) -> Any:
    """The plugin, at a place that holds nothing yet; at another field where it has fields."""
    if isinstance(store, MemoryStore):
        return replace(store, cell=f"{store.cell} absent")
    if isinstance(store, CommandStore):
        (folder / "absent").write_text("")
        return command(folder / "absent")
    if isinstance(store, FileStore | SystemdCredsStore):
        return replace(store, path=f"{store.path}-absent")
    return replace(store, key="ANOTHER")


def command(path: Path) -> CommandStore:
    """Programs that keep the value in a file."""
    write = f"import sys; open({str(path)!r}, 'w').write(sys.stdin.read())"
    return CommandStore(write_argv=[sys.executable, "-c", write], read_argv=["cat", str(path)])


def _aws_nowhere(folder: Path) -> dict[str, Any]:
    (folder / "credential").write_text("nobody-8f3k2m9x7q")
    credential = Reference("file", str(folder / "credential"))
    signing = {"access_key_id": credential, "secret_access_key": credential}
    return {"region": moto.REGION, "endpoint_url": f"http://{_NOWHERE}", "credentials": signing}


def _secrets_manager_nowhere(folder: Path) -> AwsSecretsManagerStore:
    return AwsSecretsManagerStore(secret="contract", key="KEY", **_aws_nowhere(folder))


def _ssm_nowhere(folder: Path) -> AwsSsmStore:
    return AwsSsmStore(parameter="/contract", key="KEY", **_aws_nowhere(folder))


def _vault_nowhere(folder: Path) -> VaultStore:
    (folder / "token").write_text("nobody-8f3k2m9x7q")
    login = VaultAuth(token=Reference("file", str(folder / "token")))
    return VaultStore(path="secret/app", key="KEY", address=f"http://{_NOWHERE}", auth=login)


def kubeconfig_nowhere(folder: Path) -> str:
    """A kubeconfig whose API server does not answer."""
    cluster = {"name": "gone", "cluster": {"server": f"https://{_NOWHERE}"}}
    user = {"name": "user", "user": {"token": "nobody-8f3k2m9x7q"}}
    context = {"name": "gone", "context": {"cluster": "gone", "user": "user"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "gone",
        "clusters": [cluster],
        "users": [user],
        "contexts": [context],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return str(path)


def ssh_config_nowhere(folder: Path) -> str:
    """ssh's configuration of the host `gone`, which does not answer."""
    path = folder / "config"
    path.write_text("Host gone\n HostName 127.0.0.1\n Port 1\n")
    return str(path)


def _kubernetes_nowhere(folder: Path) -> KubernetesStore:
    kubeconfig = kubeconfig_nowhere(folder)
    return KubernetesStore(secret="default/app", key="KEY", kubeconfig=kubeconfig)


def _on_host_nowhere(plugin: Any, **settings: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        config = ssh_config_nowhere(folder)
        return plugin(path="/srv/app/key", host="gone", ssh_config=config, **settings)

    return make


def _command_later(folder: Path) -> CommandStore:
    later = ["sh", "-c", "exit 75"]
    return CommandStore(write_argv=later, read_argv=later)


# By the name in a playbook, with what tells two of a name apart: the plugin, where its system does
# not answer.
UNREACHABLE: Mapping[str, Callable[[Path], Any]] = {
    "command": _command_later,
    "aws-secrets-manager": _secrets_manager_nowhere,
    "aws-ssm": _ssm_nowhere,
    "vault": _vault_nowhere,
    "kubernetes": _kubernetes_nowhere,
    "dotenv on a host": _on_host_nowhere(DotenvStore, key="KEY"),
    "file on a host": _on_host_nowhere(FileStore),
    "systemd-creds": _on_host_nowhere(SystemdCredsStore, with_key="host"),
}
