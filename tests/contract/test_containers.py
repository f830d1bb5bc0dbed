"""Containers on a real engine: the same configuration, nothing left half-way, the reason told in
their own words.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import AccessDenied, PermanentError, TransientError
from rotator.integrations.docker import client as door
from rotator.integrations.docker.compose import ComposeRestarter
from rotator.integrations.docker.recreate import environment, read_env_file
from rotator.integrations.docker.restarter import DockerRestarter
from rotator.integrations.files.dotenv import DotenvStore
from rotator.integrations.files.file import FileStore
from rotator.model import Change, Level, Note, NotYet, single
from rotator.plugin import Address
from tests.servers import images
from tests.servers.engine import IMAGE, Engine, compose_2, compose_file
from tests.servers.tools import wait_for


@pytest.fixture
def names(engine: Engine) -> Iterator[Callable[[str], str]]:
    """Names of this test's own, whose containers go when it ends."""
    mark, used = f"{time.time_ns():x}", []

    def of(base: str) -> str:
        used.append(f"{base}-{mark}")
        return used[-1]

    yield of
    for container in engine.api.containers.list(all=True):
        if mark in container.name:
            with contextlib.suppress(Exception):
                container.remove(force=True)


def _change(value: str = "new-value") -> Change:
    return Change("r-1.new.1", time.time(), single(value))


def _restarter(engine: Engine, file: Path, *containers: str, **more: Any) -> DockerRestarter:
    settings: Any = {
        "host": engine.host,
        "settle": 0.1,
        "env_file": str(file),
        "env": "KEY",
        **more,
    }
    return DockerRestarter(containers=list(containers), **settings)


def _env_file(folder: Path, value: str = "old-value") -> Path:
    file = folder / "app.env"
    file.write_text(f"# of the app\nKEY={value}\nLEVEL=info\n")
    return file


def _carried_out(plugin: Any, change: Change) -> None:
    """As the engine of rotations does: again while it says 'not yet', then until it has
    converged.
    """
    wait_for("restart", lambda: plugin.restart(change) is None, 20)
    wait_for("convergence", lambda: plugin.progress(change).converged, 20)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the mounts of others")
def test_a_container_that_has_the_file_mounted_by_itself_is_named_and_sees_it_once_it_is_restarted(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """What docs/containers.md says of `-v ./key:/run/key`: a restart is enough, and
    nothing less.
    """
    name, store = names("app"), FileStore(path=str(tmp_path / "key"))
    (tmp_path / "key").write_text("old-value\n")
    engine.run(name, "-v", f"{tmp_path}/key:/run/key")
    (holder,) = store.holders()
    assert holder.place.endswith("/run/key") and holder.program == "sleep"
    assert store.preflight() == [] or "readable by everyone" in store.preflight()[0].text
    held = store.read()
    assert held is not None
    store.write(single("new-value"), held.version, Note("key_1", "inst", "r-1", 0.0))
    assert engine.cli("exec", name, "cat", "/run/key").strip() == "old-value"
    _carried_out(_restarter(engine, tmp_path / "none", name, env=None, env_file=None), _change())
    assert engine.cli("exec", name, "cat", "/run/key").strip() == "new-value"


def test_a_container_is_made_anew_with_the_same_configuration(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """Everything that `docker run` was given: networks and addresses, mounts, limits, volumes with
    their data.
    """
    name, net, other, peer = names("app"), names("net"), names("other"), names("peer")
    engine.cli("network", "create", "--subnet", "10.91.0.0/24", net)
    engine.cli("network", "create", other)
    engine.run(peer, "--network", net)
    file = _env_file(tmp_path)
    more = [
        "--network",
        net,
        "--ip",
        "10.91.0.77",
        "--network-alias",
        "api",
        "--link",
        f"{peer}:db",
        "-e",
        "MODE=fast",
    ]
    more += [
        "--hostname",
        "app.example",
        "--user",
        "1234:1234",
        "-w",
        "/tmp",
        "-p",
        "127.0.0.1:18099:80",
        "-v",
        "/data",
    ]
    more += [
        "-v",
        f"{names('named')}:/named",
        "--mount",
        f"type=bind,src={tmp_path},dst=/app,readonly",
    ]
    more += [
        "--tmpfs",
        "/scratch:size=1m",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "CHOWN",
    ]
    more += [
        "--restart",
        "on-failure:3",
        "--ulimit",
        "nofile=99:99",
        "--label",
        "team=a",
        "--add-host",
        "h:10.0.0.1",
    ]
    more += ["--log-opt", "max-size=1m", "--read-only", "--stop-timeout", "3", "--dns", "10.0.0.53"]
    more += ["--health-cmd", "true", "--health-interval", "200ms", "--env-file", str(file)]
    engine.run(name, *more)
    engine.cli("network", "connect", "--alias", "second", other, name)
    engine.cli("exec", "--user", "0", name, "sh", "-c", "echo kept >/data/file")
    before = engine.inspect(name)
    _env_file(tmp_path, "new-value")
    _carried_out(_restarter(engine, file, name), _change())
    after = engine.inspect(name)
    assert after["Id"] != before["Id"] and engine.variable(name, "KEY") == "new-value"
    assert engine.cli("exec", name, "cat", "/data/file").strip() == "kept"
    assert sorted(after["Config"]["Env"]) == sorted(
        "KEY=new-value" if entry.startswith("KEY=") else entry for entry in before["Config"]["Env"]
    )
    assert _configuration(after) == _configuration(before)
    assert not engine.api.containers.list(all=True, filters={"name": "rotator-"})


def _configuration(raw: Any) -> Any:
    """Without what must differ: the environment, rotator's label, and that the anonymous volume has
    a name by now.
    """
    config, host = dict(raw["Config"]), dict(raw["HostConfig"])
    config.pop("Env")
    config["Labels"] = {
        name: value for name, value in config["Labels"].items() if name != "rotator.change"
    }
    config.pop("Volumes")
    host["Binds"] = sorted(bind for bind in host["Binds"] if ":/data" not in bind)
    networks = {
        name: (
            found["IPAMConfig"] or {},
            sorted(alias for alias in found["Aliases"] or () if alias != raw["Id"][:12]),
            found["Links"],
        )
        for name, found in raw["NetworkSettings"]["Networks"].items()
    }
    mounts = sorted(
        (mount.get("Name", ""), mount["Destination"], mount["RW"]) for mount in raw["Mounts"]
    )
    return config, host, networks, mounts, raw["Image"]


def test_one_that_was_only_started_again_has_still_the_environment_of_before(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """By its restart policy, or with the engine: it is young, and has the old key."""
    name, file = names("app"), _env_file(tmp_path)
    engine.run(name, "--env-file", str(file))
    _env_file(tmp_path, "new-value")
    change, restarter = _change(), _restarter(engine, file, name, env=None)
    engine.cli("restart", name)
    assert all((one.started_at or 0) < change.since for one in restarter.progress(change).instances)
    assert not restarter.progress(change).converged
    _carried_out(restarter, change)
    assert engine.variable(name, "KEY") == "new-value"
    assert all((one.started_at or 0) > change.since for one in restarter.progress(change).instances)


@pytest.mark.parametrize(
    "options", [(), ("--rm",), ("--restart", "always")], ids=["plain", "rm", "always"]
)
def test_killed_at_any_call_to_the_engine_the_next_run_finishes_it(
    engine: Engine,
    names: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    """Before each call in turn: afterwards exactly one container, running with the new key, its
    volume kept.
    """
    file, real = _env_file(tmp_path), door.call
    for boundary in range(100):
        name, left = names(f"k{boundary}"), [boundary]
        file.write_text("KEY=old-value\n")
        engine.run(name, "--env-file", str(file), "-v", "/data", *options)
        engine.cli("exec", name, "sh", "-c", "echo kept >/data/file")
        file.write_text("KEY=new-value\n")
        plugin, change = _restarter(engine, file, name), _change()

        def dying(*arguments: Any, left: list[int] = left, **more: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments, **more)

        monkeypatch.setattr(door, "call", dying)
        try:
            plugin.restart(change)
            finished = True
        except KeyboardInterrupt:
            finished = False
        monkeypatch.setattr(door, "call", real)
        _carried_out(plugin, change)
        found = [each.name for each in engine.api.containers.list(all=True) if name in each.name]
        assert found == [name], boundary
        assert (
            engine.variable(name, "KEY") == "new-value" and engine.inspect(name)["State"]["Running"]
        )
        assert engine.cli("exec", name, "cat", "/data/file").strip() == "kept"
        engine.cli("rm", "-f", name)
        if finished:
            break
    assert finished and boundary > 8


def test_a_container_whose_environment_keeps_the_old_key_is_no_proof_of_the_new_one(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """A file that is mounted, and `-e` with the same variable: with most readers that one wins."""
    name, other = names("app"), tmp_path / "other.env"
    engine.run(name, "-v", f"{tmp_path}:/srv/app", "-e", "KEY=old-value")
    other.write_text("LEVEL=info\n")
    file = Address("dotenv", str(tmp_path / "app.env"), "", ("KEY",))

    def plugin(**more: Any) -> DockerRestarter:
        settings: Any = {"env": None, "env_file": None, **more}
        return _restarter(engine, tmp_path, name, **settings).beside([file])

    for settings in ({}, {"env_file": str(other)}):
        (finding,) = plugin(**settings).preflight()
        assert finding.level is Level.ERROR and "has KEY in its environment" in finding.text
        with pytest.raises(PermanentError, match="has another KEY in its environment"):
            _carried_out(plugin(**settings), _change())
    before = engine.api.containers.get(name).attrs["State"]["StartedAt"]
    _carried_out(plugin(), _change("old-value"))
    after = engine.api.containers.get(name).attrs["State"]["StartedAt"]
    assert after != before, "the file may win all the same: it is restarted on the way back, too"
    assert plugin(overrides=True).preflight() == []
    _carried_out(plugin(overrides=True), _change())
    whole = plugin(env_file=str(_env_file(tmp_path, "new-value")))
    assert whole.preflight() == []
    _carried_out(whole, _change())
    assert "KEY=new-value" in engine.api.containers.get(name).attrs["Config"]["Env"]


def test_one_that_cannot_start_leaves_the_old_one_serving(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """Here: with a PATH on which its program is not.

    The old container runs again, under its name.
    """
    name, file = names("app"), _env_file(tmp_path)
    engine.run(name, "--env-file", str(file))
    old = engine.inspect(name)["Id"]
    file.write_text("KEY=new-value\nPATH=/nowhere\n")
    with pytest.raises(PermanentError, match="executable file not found"):
        _restarter(engine, file, name).restart(_change())
    assert engine.inspect(name)["Id"] == old and engine.inspect(name)["State"]["Running"]


def test_one_that_ends_at_its_start_is_told_in_its_own_words_and_the_next_is_not_touched(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    first, second, file = names("first"), names("second"), _env_file(tmp_path)
    command = [
        "sh",
        "-c",
        'test "$KEY" = old-value || { echo "bad key: $KEY" >&2; exit 7; }; sleep 1000',
    ]
    for name in (first, second):
        engine.run(name, "--env-file", str(file), command=command)
    untouched = engine.inspect(second)["Id"]
    _env_file(tmp_path, "new-value-that-is-wrong")
    plugin, change = _restarter(engine, file, first, second), _change("new-value-that-is-wrong")
    with pytest.raises(PermanentError, match="ended with 7: bad key: ") as told:
        wait_for("an answer", lambda: plugin.restart(change), 10)
        wait_for("an answer", lambda: plugin.restart(change) is None, 10)
    assert "that-is-wrong" not in told.value.message, "redacted"
    assert engine.inspect(second)["Id"] == untouched
    _env_file(tmp_path)
    _carried_out(plugin, Change("r-1.undo.1", time.time(), single("old-value")))
    assert (
        engine.variable(first, "KEY") == "old-value" and engine.inspect(second)["Id"] == untouched
    )


@pytest.mark.parametrize("policy", ["no", "always"])
def test_on_the_way_back_the_one_that_is_down_goes_before_the_one_that_serves(
    engine: Engine, names: Callable[[str], str], tmp_path: Path, policy: str
) -> None:
    """The first took the new key up, the second cannot work with it."""
    first, second, file = names("first"), names("second"), _env_file(tmp_path)
    engine.run(first, "--env-file", str(file), command=["sleep", "1000"])
    command = ["sh", "-c", 'test "$KEY" = old-value && sleep 1000; echo cannot; exit 3']
    engine.run(second, "--env-file", str(file), "--restart", policy, command=command)
    _env_file(tmp_path, "new-value")
    plugin = _restarter(engine, file, first, second, env=None, settle=0.5)
    with pytest.raises(PermanentError, match="cannot"):
        _carried_out(plugin, _change())
    serving = engine.inspect(first)["Id"]
    assert engine.variable(first, "KEY") == "new-value"
    _env_file(tmp_path)
    back = Change("r-1.undo.1", time.time(), single("old-value"))

    def comes_back() -> bool:
        told = plugin.restart(back)
        up = engine.inspect(second)["State"]
        assert up["Running"] and not up["Restarting"], "it went first"
        assert told is not None or engine.inspect(first)["Id"] != serving
        return told is None

    assert not comes_back() and engine.inspect(first)["Id"] == serving
    wait_for("the way back", comes_back, 20)
    _carried_out(plugin, back)
    assert engine.variable(first, "KEY") == engine.variable(second, "KEY") == "old-value"


def test_one_that_restarts_again_and_again_is_told(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    name, file = names("loop"), _env_file(tmp_path)
    command = ["sh", "-c", 'test "$KEY" = old-value && sleep 1000; echo cannot; exit 3']
    engine.run(name, "--env-file", str(file), "--restart", "always", command=command)
    _env_file(tmp_path, "new-value")
    plugin, change = _restarter(engine, file, name, settle=30.0), _change()
    plugin.restart(change)
    with pytest.raises(PermanentError, match="cannot"):
        wait_for("its end", lambda: plugin.progress(change).converged, 20)


def _becomes_healthy(engine: Engine, name: str) -> None:
    wait_for("health", lambda: engine.inspect(name)["State"]["Health"]["Status"] == "healthy", 20)


def test_health_is_waited_for_before_the_next_container(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """Starting: the next one waits.

    Healthy: it goes on. Unhealthy: the health check's own words.
    """
    first, second, file = names("first"), names("second"), _env_file(tmp_path)
    check = "test -e /app/well || { echo not well yet; exit 1; }"
    health = [
        "--health-cmd",
        check,
        "--health-interval",
        "200ms",
        "--health-retries",
        "1",
        "--health-start-period",
    ]
    folders = {first: tmp_path / "of-first", second: tmp_path / "of-second"}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "well").touch()
        engine.run(name, "--env-file", str(file), "-v", f"{folder}:/app:ro", *health, "3s")
    for name in folders:
        _becomes_healthy(engine, name)
    # Only the first one's check fails from now on: the second one serves all the time.
    (folders[first] / "well").unlink()
    waiting = engine.inspect(second)["Id"]
    _env_file(tmp_path, "new-value")
    plugin, change = _restarter(engine, file, first, second), _change()
    assert isinstance(plugin.restart(change), NotYet)
    time.sleep(0.5)
    assert isinstance(plugin.restart(change), NotYet) and engine.inspect(second)["Id"] == waiting
    (folders[first] / "well").touch()
    _carried_out(plugin, change)
    assert engine.variable(second, "KEY") == "new-value"
    (folders[first] / "well").unlink()
    with pytest.raises(PermanentError, match="is unhealthy: not well yet"):
        wait_for("illness", lambda: not plugin.progress(change).converged and None, 20)


def test_what_speaks_against_it_is_known_before_the_start(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    name, guest, stopped, file = names("app"), names("guest"), names("stopped"), _env_file(tmp_path)
    composed = names("composed")
    engine.run(name, "--env-file", str(file))
    engine.run(guest, "--network", f"container:{name}")
    engine.run(stopped, "--env-file", str(file))
    engine.cli("stop", stopped)
    engine.run(composed, "--label", "com.docker.compose.project=shop")

    def told(*containers: str, **more: Any) -> str:
        return "; ".join(
            found.text for found in _restarter(engine, file, *containers, **more).preflight()
        )

    assert told(name) == f"{guest} would end with {name}, whose namespace they use"
    assert told(stopped) == f"{stopped} does not run (exited)"
    assert told("nobody") == "there is no container nobody"
    assert told(composed) == f"{composed} belongs to shop"
    assert told(guest, env="OTHER") == f"{guest} has no variable OTHER"
    assert told(guest, env=None, env_file=str(tmp_path / "gone")) == f"{tmp_path}/gone is not there"
    with pytest.raises(PermanentError, match="env needs env_file"):
        DockerRestarter(containers=[name], env="KEY")


def test_an_engine_that_is_not_there_is_asked_again_one_that_refuses_is_not(
    engine: Engine, tmp_path: Path
) -> None:
    plugin = DockerRestarter(containers=["app"], host=f"unix://{tmp_path}/none.sock")
    with pytest.raises(TransientError, match="not reached"):
        plugin.progress(_change())
    os.seteuid(65534)
    try:
        with pytest.raises(AccessDenied, match="socket may not be used"):
            DockerRestarter(containers=["app"], host=engine.host).progress(_change())
    finally:
        os.seteuid(0)


def test_the_engine_is_found_as_dockers_users_expect(
    engine: Engine, names: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By DOCKER_HOST, and by the current `docker context`."""
    name = names("app")
    engine.run(name)
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    assert DockerRestarter(containers=[name]).progress(_change()).total == 1
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST")
    engine_only = {"env": {**os.environ, "DOCKER_CONFIG": str(tmp_path)}}
    engine.cli("context", "create", "mine", "--docker", f"host={engine.host}", **engine_only)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "mine"}))
    assert DockerRestarter(containers=[name]).progress(_change()).instances


def test_an_env_file_is_read_as_docker_reads_it(
    engine: Engine, names: Callable[[str], str], tmp_path: Path
) -> None:
    """Verbatim: quotes, blanks and hashes in a value belong to it; what the file does not say
    stays.
    """
    file, name = tmp_path / "app.env", names("app")
    file.write_text(
        "\ufeff# note\n  A=1 # two \nB='quoted'\nC\nD==x\n=bad\nE=\n".replace("=bad\n", "")
    )
    engine.run(name, "--env-file", str(file), "-e", "KEY=k")
    made = [
        entry
        for entry in engine.inspect(name)["Config"]["Env"]
        if entry.partition("=")[0] in "ABCDE"
    ]
    ours = read_env_file(file)
    assert sorted(made) == sorted(f"{key}={value}" for key, value in ours.items())
    assert environment(["A=0", "X=1"], {"A": "2", "B": "3"}) == ["A=2", "X=1", "B=3"]


# --- Compose ---


@pytest.fixture(params=["1", "2"])
def compose(
    request: pytest.FixtureRequest, engine: Engine, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    """Both generations of Compose, in a project directory of its own."""
    program = str(compose_2()) if request.param == "2" else "docker-compose"
    services = {"app": {"env_file": "app.env"}, "web": {"env_file": "app.env"}}
    (tmp_path / "docker-compose.yml").write_text(compose_file(services))
    _env_file(tmp_path)
    yield program, tmp_path
    engine.compose(program, tmp_path, "down", "-v")


def _compose(
    engine: Engine, program: str, folder: Path, *services: str, **more: Any
) -> ComposeRestarter:
    settings: Any = {"host": engine.host, "settle": 0.1, "command": [program], "env": "KEY", **more}
    settings.setdefault("file", str(folder / "docker-compose.yml"))
    return ComposeRestarter(services=list(services), **settings)


def test_a_service_scaled_by_hand_stays_so_and_others_are_not_touched(
    engine: Engine, compose: tuple[str, Path]
) -> None:
    program, folder = compose
    engine.compose(program, folder, "up", "-d", "--scale", "app=3")
    web = door.labelled(
        _compose(engine, program, folder, "web"), {"com.docker.compose.service": "web"}
    )
    _env_file(folder, "new-value")
    plugin = _compose(engine, program, folder, "app")
    _carried_out(plugin, _change())
    progress = plugin.progress(_change())
    assert progress.total == 3 and all(
        found.holds.reveal() == "new-value" for found in progress.instances if found.holds
    )
    after = door.labelled(plugin, {"com.docker.compose.service": "web"})
    assert [found.id for found in after] == [found.id for found in web]


def test_a_service_whose_environment_keeps_the_old_key_is_no_proof_of_the_new_one(
    engine: Engine, compose: tuple[str, Path]
) -> None:
    """`environment:` wins over `env_file:`, and over a file that the program reads itself."""
    program, folder = compose
    services = {"app": {"env_file": "app.env", "environment": {"KEY": "old-value"}}}
    (folder / "docker-compose.yml").write_text(compose_file(services))
    engine.compose(program, folder, "up", "-d")
    file = Address("dotenv", str(_env_file(folder, "new-value")), "", ("KEY",))
    plugin = _compose(engine, program, folder, "app", env=None).beside([file])
    with pytest.raises(PermanentError, match="has another KEY in its environment"):
        _carried_out(plugin, _change())
    _carried_out(replace(plugin, overrides=True), _change())
    services = {"app": {"env_file": "app.env"}}
    (folder / "docker-compose.yml").write_text(compose_file(services))
    _carried_out(plugin, _change())


def test_a_value_is_written_as_compose_reads_it_where_its_services_have_the_file(
    engine: Engine, compose: tuple[str, Path]
) -> None:
    program, folder = compose
    engine.compose(program, folder, "up", "-d")
    plugin = _compose(engine, program, folder, "app")
    store = DotenvStore(path=str(folder / "app.env"), key="KEY").read_by([plugin])
    reader = "compose" if program == str(compose_2()) else "compose-1"
    assert (
        plugin.env_reader(None, store.path)
        == plugin.env_reader(None, str(folder / ".env"))
        == reader
    )
    assert not plugin.env_reader(None, str(folder / "other.env")) and not plugin.env_reader(
        "web-1", store.path
    )
    value = "pa$$word-`1`#2"
    store.write(single(value), store.read().version, Note("k", "i", "01ROTATION", 0.0))  # type: ignore[union-attr]
    _carried_out(plugin, _change(value))
    assert [
        found.holds.reveal() for found in plugin.progress(_change(value)).instances if found.holds
    ] == [value]


def test_a_project_of_several_env_files_is_brought_up_with_all_of_them_again(
    engine: Engine, tmp_path: Path
) -> None:
    """Compose's label joins what was said by --env-file; one that is gone is foreseen."""
    program, given = str(compose_2()), ["--env-file", "common.env", "--env-file", "app.env"]
    services = {"app": {"environment": {"KEY": "${KEY}", "PORT": "${PORT}"}}}
    (tmp_path / "docker-compose.yml").write_text(compose_file(services))
    (tmp_path / "common.env").write_text("PORT=80\n")
    _env_file(tmp_path)
    engine.compose(program, tmp_path, *given, "up", "-d")
    try:
        restarter = _compose(engine, program, tmp_path, "app")
        _env_file(tmp_path, "new-value")
        _carried_out(restarter, _change())
        (after,) = restarter._containers("app")
        shown = [engine.variable(after.name, name) for name in ("KEY", "PORT")]
        assert shown == ["new-value", "80"]
        (tmp_path / "common.env").unlink()
        (wrong,) = [one for one in restarter.preflight() if one.level is Level.ERROR]
        assert "common.env is not there" in wrong.text and wrong.hint
    finally:
        (tmp_path / "common.env").write_text("PORT=80\n")
        engine.compose(program, tmp_path, *given, "down", "-v")


def test_a_service_that_was_only_started_again_is_recreated(
    engine: Engine, compose: tuple[str, Path]
) -> None:
    program, folder = compose
    engine.compose(program, folder, "up", "-d")
    restarter = _compose(engine, program, folder, "app")
    (before,) = restarter._containers("app")
    (folder / "app.env").write_text("KEY=new-value\n")
    change = _change()
    engine.cli("restart", before.name)
    restarter = replace(restarter, env=None)
    _carried_out(restarter, change)
    (after,) = restarter._containers("app")
    assert after.id != before.id and engine.variable(after.name, "KEY") == "new-value"


def test_a_compose_that_is_killed_midway_is_finished_by_the_next_run(
    engine: Engine, compose: tuple[str, Path]
) -> None:
    program, folder = compose
    engine.compose(program, folder, "up", "-d", "--scale", "app=2")
    for tenths in (2, 4, 6, 8):
        value = f"value-{tenths}"
        _env_file(folder, value)
        killed = _compose(engine, program, folder, "app", timeout=tenths / 10)
        with contextlib.suppress(TransientError, PermanentError):
            killed.restart(_change(value))
        plugin = _compose(engine, program, folder, "app")
        _carried_out(plugin, _change(value))
        instances = plugin.progress(_change(value)).instances
        assert [found.holds.reveal() for found in instances if found.holds] == [value, value]


def test_what_speaks_against_recreating_a_service_is_known_before_the_start(
    engine: Engine, compose: tuple[str, Path]
) -> None:
    """A service that nobody brought up; an image that has been replaced since: a rotation deploys
    nothing unseen.
    """
    program, folder = compose
    engine.compose(program, folder, "up", "-d")
    plugin = _compose(engine, program, folder, "app")
    assert plugin.preflight() == []
    missing = _compose(engine, program, folder, "nobody").preflight()
    assert missing[0].text == "there is no container of a service nobody"
    engine.load(images.empty(IMAGE, "newer"))
    try:
        assert "is newer than what" in plugin.preflight()[0].text
    finally:
        engine.load(images.empty(IMAGE))
    second = folder / "second"
    second.mkdir()
    (second / "docker-compose.yml").write_text(compose_file({"app": {}}))
    engine.compose(program, second, "up", "-d")
    anywhere = _compose(engine, program, folder, "app", file=None)
    assert "several projects have a service app: " in anywhere.preflight()[0].text
    assert (
        _compose(engine, program, folder, "app", file=None, project="second", env=None).preflight()
        == []
    )
    engine.compose(program, second, "down")
    unknown = _compose(engine, "compose-that-is-not-there", folder, "app")
    with pytest.raises(PermanentError, match="does not exist"):
        _env_file(folder, "new-value")
        unknown.restart(_change())
