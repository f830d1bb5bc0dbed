"""What all tests share: servers, each started once a run; the run's parts side by side
(tests/shards.py).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.integrations.memory import world as memory
from tests import shards
from tests.servers import moto
from tests.servers.bao import Bao
from tests.servers.engine import Engine
from tests.servers.kube import Kube
from tests.servers.systemd import Systemd


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shard",
        choices=(*shards.NAMES, shards.TOGETHER),
        help="only the tests of this part of the run",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test says which servers it is about; those of other parts of the run are
    left to them.
    """
    found = shards.of(items)
    for item in items:
        item.user_properties.append(("server", found[item].server))
    if wanted := config.getoption("--shard"):
        others = [item for item in items if not shards.has(wanted, found[item])]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if shards.has(wanted, found[item])]
    if wanted == shards.TOGETHER and not os.environ.get("ROTATOR_LONG"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason=shards.LONG))


def pytest_collection_finish(session: pytest.Session) -> None:
    shards.tell(f"of {len(session.items)}")


def pytest_runtest_logfinish(nodeid: str) -> None:
    shards.tell(f"ended {nodeid}")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HOME",
        "PLAYBOOKS",
        "DATABASE_URL",
        "KEY_FILE",
        "KEY_COMMAND",
        "SEAL_WITH",
        "LOG_LEVEL",
        "AUDIT_STREAM",
        "KEY",
        "CONFIG",
    ):
        monkeypatch.delenv(f"ROTATOR_{name}", raising=False)
    monkeypatch.setenv("ROTATOR_EPHEMERAL", "true")  # the tests themselves may run in a container


@pytest.fixture(autouse=True)
def _no_coverage_of_what_is_killed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes by the hundred, most of them killed, would only be slower for it."""
    if request.node.get_closest_marker("slow"):
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A container engine of our own, for the whole run."""
    pytest.importorskip("docker", reason="the extra 'docker' is not installed")
    with Engine(tmp_path_factory.mktemp("e")) as found:
        yield found


@pytest.fixture(scope="session")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """A systemd of our own, with an ssh server."""
    with Systemd(tmp_path_factory.mktemp("systemd")) as found:
        yield found


@pytest.fixture(scope="session")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A container engine of our own with swarm mode on."""
    pytest.importorskip("docker", reason="the extra 'docker' is not installed")
    with Engine(tmp_path_factory.mktemp("s")) as found:
        found.swarm()
        yield found


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """A cluster of our own."""
    pytest.importorskip("kubernetes", reason="the extra 'kubernetes' is not installed")
    with Kube(tmp_path_factory.mktemp("k")) as found:
        yield found


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """An OpenBao of our own."""
    pytest.importorskip("hvac", reason="the extra 'vault' is not installed")
    with Bao(tmp_path_factory.mktemp("bao")) as found:
        yield found


@pytest.fixture(scope="session")
def aws() -> Iterator[moto.Aws]:
    """AWS, as moto knows it, with authorisation switched on."""
    pytest.importorskip("boto3", reason="the extra 'aws' is not installed")
    with moto.running() as found:
        yield found


@pytest.fixture
def memory_world() -> Iterator[memory.World]:
    """An empty world in memory, whatever a test before has put in place of a part of it."""
    vars(memory.WORLD).clear()
    vars(memory.WORLD).update(vars(memory.World()))
    yield memory.WORLD


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "playbooks").mkdir()
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped and why, a line for each reason."""
    found = terminalreporter.stats.get("skipped", ())
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in found)
    for reason, number in sorted(reasons.items()):
        terminalreporter.write_line(f"{number} skipped: {reason}")
