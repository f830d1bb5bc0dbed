"""What a folder of rotator.integrations offers is known in one place, its table: extras, messages
and pages agree with it.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from rotator import installed
from rotator.errors import ConfigError
from rotator.integrations.apprise.channel import Apprise
from rotator.integrations.aws.ssm import AwsSsmStore
from rotator.integrations.calendar import reading
from rotator.integrations.docker.swarm_store import SwarmStore
from rotator.integrations.kubernetes.store import KubernetesStore
from rotator.integrations.otel.exporter import Exporter
from rotator.integrations.vault.store import VaultStore
from rotator.playbook.registry import CHANNEL, KINDS, Registry, extra_of, integrations
from rotator.reference import Reference

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ROOT / "rotator" / "integrations"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED: dict[str, list[str]] = PROJECT["optional-dependencies"]
NOT_OF_INTEGRATIONS = {"postgres", "daemon", "all", "dev", "docs", "testing"}


def _distribution(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _with_what_they_need(requirements: list[str]) -> set[str]:
    """Distributions that are installed with these, and theirs."""
    names: set[str] = set()
    new = {_distribution(requirement) for requirement in requirements}
    while new:
        names |= new
        needed = {line for name in new for line in _needed(name) if "extra ==" not in line}
        new = {_distribution(line) for line in needed} - names
    return names


def _needed(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # of another Python or system
        return []


def _imported(folder: Path) -> Iterator[str]:
    """Packages of others that the modules of a folder import, also late and by their name."""
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    yield from (alias.name.partition(".")[0] for alias in names)
                case ast.ImportFrom(module=str(module), level=0):
                    yield module.partition(".")[0]
                case ast.Call(func=ast.Name(id="import_module"), args=[ast.Constant(value=name)]):
                    yield str(name).partition(".")[0]


def test_each_extra_of_a_neighbour_is_that_of_a_table_and_the_other_way_round() -> None:
    offered = {table.extra for table in integrations().values() if table.extra}
    assert offered == DECLARED.keys() - NOT_OF_INTEGRATIONS
    everything = re.fullmatch(r"rotatord\[(.+)\]", DECLARED["all"][0])
    assert everything is not None
    assert offered <= set(everything[1].split(","))


@pytest.mark.parametrize("name", integrations())
def test_an_extra_installs_what_its_integration_imports(name: str) -> None:
    extra = integrations()[name].extra
    usual = _with_what_they_need(PROJECT["dependencies"])
    installs = _with_what_they_need(DECLARED[extra]) if extra else set()
    by_package = metadata.packages_distributions()
    for package in sorted(set(_imported(FOLDERS / name))):
        if package in sys.stdlib_module_names or package == "rotator":
            continue
        of = {_distribution(one) for one in by_package[package]}
        assert of & (usual | installs), f"{name} imports {package}, which '{extra}' lacks"


_WITHOUT: dict[str, tuple[str, Callable[[], object]]] = {
    "apprise": ("apprise", lambda: Apprise(url=Reference("env", "URL"))),
    "aws": ("boto3", lambda: AwsSsmStore(parameter="/app/key").preflight()),
    "calendar": ("icalendar", lambda: reading.read(str(ROOT / "README.md"), "UTC")),
    "docker": ("docker", lambda: SwarmStore(secret="app").preflight()),
    "kubernetes": (
        "kubernetes.config",
        lambda: KubernetesStore(secret="app/keys", key="KEY", kubeconfig="/none").preflight(),
    ),
    "otel": ("opentelemetry", lambda: Exporter()),
    "vault": ("hvac", lambda: VaultStore(path="secret/app", key="KEY").preflight()),
}


@pytest.mark.parametrize("name", [name for name, one in integrations().items() if one.extra])
def test_a_package_that_is_missing_is_reported_with_the_extra_of_the_table(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, ask = _WITHOUT[name]
    monkeypatch.setenv("VAULT_TOKEN", "a-token-of-nobody")
    for known in [module for module in sys.modules if f"{module}.".startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match="need") as reported:
        ask()
    assert reported.value.hint == installed.way_to(integrations()[name].extra)


def test_every_plugin_reference_and_way_to_wrap_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "playbooks.md").read_text()
    every = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    for table in integrations().values():
        for kind in (*KINDS, CHANNEL):
            for name in table.of_kind(kind):
                plugin = Registry().find(kind, name)
                assert plugin is not None
                section = page.partition(f"### {kind} `{name}`\n")[2].partition("\n##")[0]
                assert section, f"{kind} {name} is not in playbooks.md"
                extra = re.search(r"^Needs the extra `(\w+)`", section, re.M)
                assert (extra[1] if extra else "") == table.extra == extra_of(plugin)
        for kind in table.references:
            assert f"`{{{kind}: " in page, f"a reference {{{kind}: …}} is not in playbooks.md"
        for way in table.wrappers:
            assert f"{way}:" in every, f"nothing says how {way} wraps the sealing key"
