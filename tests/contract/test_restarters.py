"""What every restarter must do; later ones join by a line in RESTARTERS."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.clients import procfs, programs
from rotator.errors import NotFound, PermanentError
from rotator.integrations.memory import world as memory
from rotator.model import Change, single
from rotator.playbook.registry import Registry
from rotator.secret import Secret
from rotator.testing.restarters import RestarterContract
from tests.contract import store_places
from tests.servers import engine as engines

pytestmark = pytest.mark.server("engine")

_SERVICE = """
import os, pathlib, signal, subprocess, sys, time
def again(*_):
    env = dict(os.environ, KEY=pathlib.Path(sys.argv[2]).read_text())
    subprocess.Popen([sys.executable, *sys.argv], env=env, start_new_session=True)
    os._exit(0)
signal.signal(signal.SIGHUP, again)
target = pathlib.Path(sys.argv[1])
new = target.with_suffix('.new'); new.write_text(str(os.getpid())); new.rename(target)
time.sleep(60)
"""


@contextlib.contextmanager
def _process(folder: Path, request: Any = None, env: str | None = None) -> Iterator[Any]:
    script, pid, key = folder / "service.py", folder / "service.pid", folder / "key"
    script.write_text(_SERVICE)
    key.write_text("old-value")
    subprocess.Popen([sys.executable, str(script), str(pid), str(key)], env={"KEY": "old-value"})
    _until(pid.exists)
    try:
        yield (
            Registry().find("restarter", "process")(pid_file=str(pid), signal="HUP", env=env),
            key.write_text,
        )  # type: ignore[misc]
    finally:
        subprocess.run(["kill", pid.read_text()], check=False)


@contextlib.contextmanager
def _process_read(folder: Path, request: Any) -> Iterator[Any]:
    with _process(folder, env="KEY") as found:
        yield found


@contextlib.contextmanager
def _memory(folder: Path, request: Any) -> Iterator[Any]:
    cell = memory.WORLD.cell(str(folder))
    cell.values = {"key": Secret("old-value")}
    memory.WORLD.consumers[f"c{folder}"] = memory.Consumer(str(folder))
    memory.WORLD.start(f"c{folder}")
    yield (
        Registry().find("restarter", "memory")(consumers=[f"c{folder}"]),
        lambda value: setattr(cell, "values", {"key": Secret(value)}),
    )  # type: ignore[misc]


@contextlib.contextmanager
def _command(folder: Path, request: Any) -> Iterator[Any]:
    run = ["sh", "-c", f"touch {folder}/restarted"]
    ready = ["sh", "-c", f"test -e {folder}/restarted || exit 75"]
    yield Registry().find("restarter", "command")(run=run, ready=ready), lambda value: None  # type: ignore[misc]


@contextlib.contextmanager
def _none(folder: Path, request: Any) -> Iterator[Any]:
    yield Registry().find("restarter", "none")(within=0.3), lambda value: None  # type: ignore[misc]


@contextlib.contextmanager
def _docker(folder: Path, request: Any) -> Iterator[Any]:
    """Made anew: `--env-file` is read only then."""
    engine, name, file = request.getfixturevalue("engine"), f"app-{folder.name}", folder / "app.env"
    file.write_text("KEY=old-value\n")
    engine.run(name, "--env-file", str(file))
    plugin = Registry().find("restarter", "docker")
    settings: Any = {
        "host": engine.host,
        "containers": [name],
        "settle": 0.1,
        "env_file": str(file),
        "env": "KEY",
    }
    yield plugin(**settings), lambda value: file.write_text(f"KEY={value}\n")  # type: ignore[misc]
    engine.cli("rm", "-f", name)


@contextlib.contextmanager
def _docker_mounted(folder: Path, request: Any) -> Iterator[Any]:
    """Restarted only: the key is in a mounted file."""
    engine, name, file = request.getfixturevalue("engine"), f"mounted-{folder.name}", folder / "key"
    file.write_text("old-value")
    engine.run(name, "-v", f"{file}:/app/key:ro")
    plugin = Registry().find("restarter", "docker")
    yield (
        plugin(host=engine.host, containers=[name], settle=0.1),
        file.write_text,
    )  # type: ignore[misc]
    engine.cli("rm", "-f", name)


@contextlib.contextmanager
def _compose(folder: Path, request: Any) -> Iterator[Any]:
    """Debian's docker-compose, of the first generation."""
    yield from _service(folder, request.getfixturevalue("engine"), "docker-compose")


@contextlib.contextmanager
def _compose_2(folder: Path, request: Any) -> Iterator[Any]:
    yield from _service(folder, request.getfixturevalue("engine"), str(engines.compose_2()))


def _service(folder: Path, engine: engines.Engine, program: str) -> Iterator[Any]:
    file = folder / "app.env"
    file.write_text("KEY=old-value\n")
    (folder / "docker-compose.yml").write_text(
        engines.compose_file({"app": {"env_file": "app.env"}})
    )
    engine.compose(program, folder, "up", "-d")
    plugin = Registry().find("restarter", "compose")
    settings: Any = {
        "host": engine.host,
        "services": ["app"],
        "file": str(folder / "docker-compose.yml"),
        "settle": 0.1,
    }
    yield (
        plugin(**settings, command=[program], env="KEY"),
        lambda value: file.write_text(f"KEY={value}\n"),
    )  # type: ignore[misc]
    engine.compose(program, folder, "down")


RESTARTERS: dict[str, Callable[[Path, Any], Any]] = {
    "process": _process,
    "process, read": _process_read,
    "memory": _memory,
    "command": _command,
    "none": _none,
    "docker": _docker,
    "docker, mounted": _docker_mounted,
    "compose 1": _compose,
    "compose 2": _compose_2,
}


def _unreachable(name: str, folder: Path) -> Any:
    """The plugin, where nothing listens."""
    plugin: Any = Registry().find("restarter", name)
    if name == "docker":
        return plugin(host=f"unix://{folder}/none.sock", containers=["app"])
    kubeconfig = store_places.kubeconfig_nowhere(folder)
    return plugin(workloads=["deployment/default/app"], kubeconfig=kubeconfig)


class TestRestarters(RestarterContract):
    @pytest.fixture(params=RESTARTERS, ids=lambda name: name)
    def running(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[tuple[Any, Callable[[str], object]]]:
        with RESTARTERS[request.param](tmp_path, request) as running:
            yield running

    @pytest.fixture
    def uses(self, request: pytest.FixtureRequest) -> str:
        params = request.node.callspec.params
        return re.split("[, ]", params.get("running", params.get("unreachable")))[0]

    @pytest.fixture
    def restarter(self, running: tuple[Any, Callable[[str], object]]) -> Any:
        return running[0]

    @pytest.fixture
    def put(self, running: tuple[Any, Callable[[str], object]]) -> Callable[[str], object]:
        return running[1]

    @pytest.fixture(params=["docker", "kubernetes"])
    def unreachable(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        return _unreachable(request.param, tmp_path)


def _until(condition: Callable[[], Any], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_without_a_restart_it_is_waited_until_all_have_read_the_key_again() -> None:
    plugin: Any = Registry().find("restarter", "none")
    change = Change("r.1", time.time(), single("new-value"))
    assert not plugin(within=0.3).progress(change).converged
    assert plugin(within=0.0).progress(change).converged


def test_a_process_that_does_not_run_is_found_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "gone.pid").write_text("999999999")
    plugin = Registry().find("restarter", "process")(pid_file=str(tmp_path / "gone.pid"))  # type: ignore[misc]
    assert plugin.preflight()[0].level == "error"
    with pytest.raises(NotFound):
        plugin.restart(Change("r.1", 0.0, single("x" * 8)))


def test_a_program_does_not_outlive_the_rotator_that_ran_it(tmp_path: Path) -> None:
    """SIGKILL of rotator ends the program and what it started in its process group."""
    mark = tmp_path / "pid"
    code = (
        "from rotator.clients import programs; programs.run(['sh', '-c', 'sleep 600 & echo $! >"
        f" {mark}; wait'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    _until(lambda: mark.exists() and mark.read_text().strip())
    child = int(mark.read_text())
    process.kill()
    process.wait()
    _until(lambda: procfs.process(child) is None)
    assert procfs.process(child) is None


def test_a_secret_reaches_a_program_by_its_standard_input(tmp_path: Path) -> None:
    """Never as an argument, and rotator's own files are not inherited."""
    ended = programs.run(["sh", "-c", "cat; ls /proc/$$/fd | wc -l"], stdin=Secret("the-key"))
    assert ended.out.startswith("the-key") and int(ended.out.removeprefix("the-key")) <= 4


def test_a_failed_program_is_told_by_its_last_words(tmp_path: Path) -> None:
    plugin = Registry().find("restarter", "command")(
        run=["sh", "-c", "echo it is broken >&2; exit 3"]
    )  # type: ignore[misc]
    with pytest.raises(PermanentError, match="ended with 3: it is broken"):
        plugin.restart(Change("r.1", 0.0, single("x" * 8)))
