"""systemd, here and by ssh: what a restart brings, what a unit says when it fails; at a real one as
first process.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.clients import host_files, hosts
from rotator.clients.hosts import Host
from rotator.errors import (
    AccessDenied,
    ConfigError,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from rotator.integrations.files.dotenv import DotenvStore
from rotator.integrations.systemd.credentials import SystemdCredsStore
from rotator.integrations.systemd.manager import Manager
from rotator.integrations.systemd.restarter import SystemdRestarter
from rotator.model import Change, Evidence, Level, Note, NotYet, single
from rotator.plugin import Address
from rotator.secret import Secret
from rotator.testing.restarters import RestarterContract
from tests.contract import store_places
from tests.contract.rolling import rolled
from tests.servers.systemd import Systemd
from tests.servers.tools import Failed, wait_for

NOTE = Note("key_1", "inst", "01ROTATION", 0.0)
DOCS = Path(__file__).parents[2] / "docs" / "systemd.md"
_REFUSED = "ssh: connect to host web-1 port 22: Connection refused"
_count = itertools.count(1)
_TITLED = """
import ctypes, time
fields = open('/proc/self/stat').read().rpartition(')')[2].split()
begin, end = int(fields[47]), int(fields[48])  # env_start, env_end
ctypes.memset(begin, 0, end - begin)
time.sleep(1000)
"""


class Service:
    """A unit that takes its key from an environment file, on a host of the tests."""

    def __init__(self, server: Systemd, start: str = "/bin/sleep 1000", **settings: str) -> None:
        self.server, self.name = server, f"app{next(_count)}.service"
        self.file = server.shared / f"{self.name}.env"
        self.file.write_text("KEY=first-value\n")
        server.unit(self.name, start, EnvironmentFile=f"/srv/shared/{self.file.name}", **settings)
        server.systemctl("start", self.name)

    def restarter(self, **settings: Any) -> SystemdRestarter:
        return SystemdRestarter(
            **{
                "units": [self.name],
                "host": self.server.name,
                "ssh_config": str(self.server.config),
                "settle": 0.3,
                **settings,
            }
        )

    @property
    def key(self) -> str:
        return self.server.environment(self.name)["KEY"]

    def starts_with(self, value: str) -> bool:
        """Whether its process has that key; it may just be about to start."""
        try:
            return self.key == value
        except Failed:
            return False

    @property
    def invocation(self) -> str:
        return self.server.systemctl("show", "-p", "InvocationID", "--value", self.name).strip()


@pytest.fixture
def service(systemd: Systemd) -> Iterator[Service]:
    found = Service(systemd)
    yield found
    systemd.systemctl("stop", found.name)


def change(since: float | None = None, name: str = "r1", value: str = "second-value") -> Change:
    return Change(name, time.time() if since is None else since, single(value))


class TestContract(RestarterContract):
    first, second = "first-value", "second-value"
    patience = 30.0
    # A host tells how long a unit has run; the answer is as old as the connection was slow.
    exact = 1.0

    @pytest.fixture
    def uses(self) -> str:
        return "systemd"

    @pytest.fixture(params=[None, "KEY"], ids=["started", "read"])
    def restarter(self, request: pytest.FixtureRequest, service: Service) -> SystemdRestarter:
        return service.restarter(env=request.param)

    @pytest.fixture
    def put(self, service: Service) -> Callable[[str], object]:
        return lambda value: service.file.write_text(f"KEY={value}\n")

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> SystemdRestarter:
        config = store_places.ssh_config_nowhere(tmp_path)
        return SystemdRestarter(units=["app.service"], host="gone", ssh_config=config)


def test_a_unit_is_restarted_once_and_has_the_new_key(service: Service) -> None:
    service.file.write_text("KEY=second-value\n")
    wanted, before = change(), service.invocation
    progress = rolled(service.restarter(), wanted)
    assert service.key == "second-value" and service.invocation != before
    (instance,) = progress.instances
    assert instance.started_at is not None and wanted.since < instance.started_at < time.time()
    after = service.invocation
    rolled(service.restarter(), wanted)
    assert service.invocation == after, "the same change again is none"


def test_success_is_told_only_once_it_has_stayed_up(service: Service) -> None:
    wanted, begun = change(), time.monotonic()
    rolled(service.restarter(settle=1.5), wanted)
    assert time.monotonic() - begun >= 1.5


def test_a_unit_that_cannot_even_start_is_told_at_once(service: Service) -> None:
    """There is no new process whose end could be seen."""
    service.file.unlink()
    with pytest.raises(PermanentError, match="is failed/failed: resources"):
        rolled(service.restarter(), change(), 10)


def test_one_that_systemd_started_again_after_the_change_ended_before_it(systemd: Systemd) -> None:
    """It ended with what it held before; what it was started with since is the change."""
    start = "/bin/sh -c 'test $KEY = first-value || { sleep 0.5; exit 7; }; exec sleep 1000'"
    service = Service(systemd, start, Restart="always", RestartSec="1")
    service.file.write_text("KEY=second-value\n")
    systemd.systemctl("restart", service.name)
    shown = ("show", "-p", "SubState,NRestarts", "--value", service.name)
    wait_for("its end", lambda: "auto-restart" in systemd.systemctl(*shown), 10, 0.05)
    service.file.write_text("KEY=first-value\n")
    undo = change(name="undo", value="first-value")
    wait_for(
        "its next start", lambda: systemd.systemctl(*shown).split() == ["1", "running"], 10, 0.05
    )
    rolled(service.restarter(), undo)


@pytest.mark.parametrize(
    ("again", "kind"), [("no", "simple"), ("always", "simple"), ("no", "notify")]
)
def test_a_unit_that_ends_with_the_new_key_is_told_in_its_own_words(
    systemd: Systemd, again: str, kind: str
) -> None:
    """`systemctl restart` itself exits with 0."""
    start = (
        "/bin/sh -c 'test $KEY = first-value || { echo this key is no good; exit 7; };"
        " systemd-notify --ready; exec sleep 1000'"
    )
    service = Service(systemd, start, Restart=again, RestartSec="1", Type=kind, NotifyAccess="all")
    service.file.write_text("KEY=second-value\n")
    with pytest.raises(PermanentError, match="exit-code, exit 7") as told:
        rolled(service.restarter(settle=5), change())
    assert "this key is no good" in str(told.value) and "journalctl" in told.value.hint
    service.file.write_text("KEY=first-value\n")
    rolled(service.restarter(), change(name="undo", value="first-value"))
    assert service.key == "first-value"
    systemd.systemctl("stop", service.name)


def test_one_that_failed_too_often_is_started_all_the_same(systemd: Systemd) -> None:
    service = Service(
        systemd,
        "/bin/sh -c 'test $KEY = good && exec sleep 1000'",
        Restart="always",
        RestartSec="10ms",
    )
    for _ in range(100):
        if "start-limit-hit" in systemd.systemctl("show", "-p", "Result", service.name):
            break
        time.sleep(0.05)
    service.file.write_text("KEY=good\n")
    assert rolled(service.restarter(), change()).converged and service.key == "good"
    systemd.systemctl("stop", service.name)


def test_the_key_is_read_from_the_main_process_as_proof(service: Service) -> None:
    restarter = service.restarter(env="KEY")
    assert restarter.evidence is Evidence.READ and service.restarter().evidence is Evidence.STARTED
    service.file.write_text("KEY=second-value\n")
    (instance,) = rolled(restarter, change()).instances
    assert instance.holds == single("second-value").primary
    before = service.invocation
    rolled(restarter, change())
    assert service.invocation == before, "what it holds already needs no restart"


def test_a_unit_whose_environment_keeps_the_old_key_is_no_proof_of_the_new_one(
    systemd: Systemd,
) -> None:
    """`Environment=` is there at each start, and most readers of a .env file let it win."""
    name, file = (
        f"app{next(_count)}.service",
        Address("dotenv", "/srv/app/.env", "unit-host", ("KEY",)),
    )
    systemd.unit(name, "/bin/sleep 1000", Environment="KEY=first-value")
    systemd.systemctl("start", name)

    def restarter(address: Address = file, **more: Any) -> SystemdRestarter:
        settings: Any = {"host": systemd.name, "ssh_config": str(systemd.config), "settle": 0.3}
        return SystemdRestarter(units=[name], **settings, **more).beside([address])

    with pytest.raises(PermanentError, match="has another KEY in its environment"):
        rolled(restarter(), change())
    (instance,) = restarter().shown(change()).instances
    assert instance.holds == single("first-value").primary
    before = systemd.systemctl("show", "-p", "InvocationID", name)
    assert rolled(restarter(), change(name="undo", value="first-value")).converged
    after = systemd.systemctl("show", "-p", "InvocationID", name)
    assert after != before, "the file may win all the same: it is restarted on the way back, too"
    assert rolled(restarter(overrides=True), change()).converged
    assert rolled(restarter(replace(file, fields=("OTHER",))), change()).converged
    assert rolled(restarter(replace(file, place="web-2")), change()).converged
    systemd.systemctl("stop", name)


def test_a_look_shows_when_it_started(service: Service) -> None:
    (instance,) = service.restarter().shown(Change("look", 0.0, single("x"))).instances
    assert instance.started_at is not None and 0 < time.time() - instance.started_at < 60


def test_a_unit_that_somebody_stopped_stays_so(service: Service) -> None:
    service.server.systemctl("stop", service.name)
    (finding,) = service.restarter().preflight()
    assert finding.level is Level.OK and "will start with what the store holds" in finding.text
    assert rolled(service.restarter(), change()).total == 0
    assert "inactive" in service.server.systemctl("show", "-p", "ActiveState", service.name)


def test_a_template_is_restarted_with_all_its_instances(systemd: Systemd) -> None:
    systemd.unit("many@.service", "/bin/sleep 1000")
    systemd.systemctl("start", "many@1.service", "many@2.service")
    restarter = SystemdRestarter(
        units=["many@*.service"], host=systemd.name, ssh_config=str(systemd.config), settle=0.2
    )
    assert rolled(restarter, change()).total == 2
    systemd.systemctl("stop", "many@1.service", "many@2.service")


def test_units_go_one_after_the_other_over_all_hosts(service: Service, systemd: Systemd) -> None:
    """Each is up before the next one goes; the second host is the same machine by another name."""
    second = Service(systemd)
    hosts = [systemd.name, f"{systemd.name}-too"]
    restarter = service.restarter(units=[service.name, second.name], host=hosts, settle=0.5)
    wanted, before = change(), (service.invocation, second.invocation)
    assert isinstance(restarter.restart(wanted), NotYet)
    assert isinstance(restarter.restart(wanted), NotYet) and second.invocation == before[1], (
        "the first is not up yet"
    )
    assert rolled(restarter, wanted).total == 4
    assert service.invocation != before[0] and second.invocation != before[1]
    assert restarter.name == f"systemd {service.name}, {second.name} on {', '.join(hosts)}"
    systemd.systemctl("stop", second.name)


def test_on_the_way_back_the_one_that_is_down_goes_before_the_one_that_serves(
    service: Service, systemd: Systemd
) -> None:
    """The first took the new key up, the second cannot work with it; it is on another host."""
    script = "/bin/sh -c 'test $$KEY = first-value && exec sleep 1000'"
    second = Service(systemd, script)
    for one in (service, second):
        one.file.write_text("KEY=second-value\n")
    hosts = [systemd.name, f"{systemd.name}-too"]
    restarter = service.restarter(units=[service.name, second.name], host=hosts)
    with pytest.raises(PermanentError, match=second.name):
        rolled(restarter, change())
    assert service.key == "second-value"
    for one in (service, second):
        one.file.write_text("KEY=first-value\n")
    back, serving = change(name="undo", value="first-value"), service.invocation
    assert isinstance(restarter.restart(back), NotYet)
    assert service.invocation == serving
    wait_for("the second one", lambda: second.starts_with("first-value"), 20)
    assert service.invocation == serving
    rolled(restarter, back)
    assert service.key == second.key == "first-value" and service.invocation != serving
    systemd.systemctl("stop", second.name)


def test_as_many_start_at_a_time_as_a_wave_has(service: Service, systemd: Systemd) -> None:
    second = Service(systemd)
    restarter = service.restarter(units=[service.name, second.name], wave=2)
    assert restarter.restart(change()) is None
    systemd.systemctl("stop", second.name)


class TestBefore:
    def test_what_runs_well_is_told(self, service: Service) -> None:
        assert [one.text for one in service.restarter().preflight()] == [
            f"restarts {service.name} on unit-host"
        ]

    def test_what_is_not_there_is_told(self, service: Service) -> None:
        (finding,) = service.restarter(units=["nobody.service"]).preflight()
        assert finding.level is Level.ERROR and "there is no nobody.service" in finding.text
        with pytest.raises(NotFound, match="no unit like none@"):
            service.restarter(units=["none@*.service"]).preflight()

    def test_what_is_not_well_already_is_told(self, systemd: Systemd) -> None:
        service = Service(systemd, "/bin/false")
        time.sleep(0.3)
        (finding,) = service.restarter().preflight()
        assert finding.level is Level.ERROR and "is not well already: failed/failed" in finding.text

    @pytest.mark.parametrize(
        "content", ["KEY=first-value # production\n", "KEY='first-value' # production\n"]
    )
    def test_a_comment_that_systemd_takes_for_a_part_of_the_key_is_found(
        self, systemd: Systemd, service: Service, content: str
    ) -> None:
        service.file.write_text(content)
        store = self.store(service)
        (told,) = [finding.text for finding in store.preflight() if finding.level is Level.ERROR]
        assert "systemd (EnvironmentFile) reads KEY with more than the key" in told
        systemd.systemctl("restart", service.name)
        assert service.key != "first-value", "so it does"

    @pytest.mark.parametrize("value", ["pa$$ `word`#1", 'it\'s; "so"', "back\\slash"])
    def test_where_systemd_alone_reads_the_file_it_gets_any_value(
        self, service: Service, value: str
    ) -> None:
        store = self.store(service)
        store.write(single(value), store.read().version, NOTE)  # type: ignore[union-attr]
        service.server.systemctl("restart", service.name)
        assert service.key == value and store.read().values["key"].reveal() == value  # type: ignore[union-attr,index]

    def store(self, service: Service) -> DotenvStore:
        restarter = service.restarter()
        path = f"/srv/shared/{service.file.name}"
        store = DotenvStore(
            path=path, key="KEY", host=service.server.name, ssh_config=restarter.ssh_config
        )
        return store.read_by([restarter])

    def test_a_reload_that_would_keep_the_old_key_is_refused(
        self, systemd: Systemd, service: Service
    ) -> None:
        """An environment file and a loaded credential are read at the start alone."""
        (finding,) = service.restarter(action="reload").preflight()
        assert finding.level is Level.ERROR and "a reload keeps the old one" in finding.text
        (systemd.shared / "credential").write_text("first-value")
        systemd.unit(
            "loads.service",
            "/bin/sleep 1000",
            LoadCredential="key:/srv/shared/credential",
            ExecReload="/bin/true",
        )
        systemd.systemctl("start", "loads.service")
        (finding,) = service.restarter(units=["loads.service"], action="reload").preflight()
        assert "LoadCredential" in finding.text
        systemd.systemctl("stop", "loads.service")

    def test_a_reload_is_one_where_the_service_reads_the_key_again(
        self, systemd: Systemd, service: Service
    ) -> None:
        systemd.unit(
            "reads.service", "/bin/sleep 1000", ExecReload="/bin/touch /srv/shared/reloaded"
        )
        systemd.unit("deaf.service", "/bin/sleep 1000")
        systemd.systemctl("start", "reads.service", "deaf.service")
        restarter = service.restarter(units=["reads.service"], action="reload")
        assert (
            restarter.evidence is Evidence.ANSWERS
            and restarter.preflight()[0].text == "reloads reads.service on unit-host"
        )
        before = systemd.systemctl("show", "-p", "InvocationID", "reads.service")
        rolled(restarter, change())
        assert (systemd.shared / "reloaded").exists()
        assert systemd.systemctl("show", "-p", "InvocationID", "reads.service") == before
        (finding,) = service.restarter(units=["deaf.service"], action="reload").preflight()
        assert "cannot be reloaded" in finding.text
        systemd.systemctl("stop", "reads.service", "deaf.service")

    def test_a_variable_that_nobody_can_read_is_told(self, service: Service) -> None:
        (finding,) = service.restarter(env="ANOTHER").preflight()
        assert finding.level is Level.ERROR and "shows no variable ANOTHER" in finding.text
        assert (
            "its environment has no such variable" in finding.text
            and "leave `env` out" in finding.hint
        )

    def test_a_unit_that_overwrites_its_environment_counts_by_its_start(
        self, systemd: Systemd
    ) -> None:
        """gunicorn's title stands where the variables were: that is no proof, and no reason to
        restart it again.
        """
        script = systemd.shared / "titled.py"
        script.write_text(_TITLED)
        service = Service(
            systemd, f"{Path(sys.base_prefix).resolve()}/bin/python3 -S /srv/shared/{script.name}"
        )
        restarter = service.restarter(env="KEY")
        wait_for("its title", lambda: not systemd.environment(service.name), 10, 0.05, lambda: "")
        assert [one.level for one in restarter.preflight()] == [Level.OK]
        ordered, before = change(), service.invocation
        service.file.write_text("KEY=second-value\n")
        progress = rolled(restarter, ordered)
        (instance,) = progress.instances
        assert (
            instance.untold and instance.started_at > ordered.since and service.invocation != before
        )
        after = service.invocation
        assert restarter.restart(ordered) is None and service.invocation == after
        systemd.systemctl("stop", service.name)

    def test_settings_that_cannot_work_are_told(self) -> None:
        with pytest.raises(ConfigError, match="no unit is named"):
            SystemdRestarter(units=[])
        with pytest.raises(ConfigError, match="at least one unit"):
            SystemdRestarter(units=["a"], wave=0)
        with pytest.raises(ConfigError, match="`sudo` is root's"):
            SystemdRestarter(units=["a"], user=True, sudo=True)
        with pytest.raises(ConfigError, match="changes no environment"):
            SystemdRestarter(units=["a"], action="reload", env="KEY")


class TestHosts:
    def test_a_host_that_is_not_reached_is_waited_for(self, tmp_path: Path) -> None:
        config = tmp_path / "config"
        config.write_text("Host gone\n HostName 127.0.0.1\n Port 1\n")
        with pytest.raises(TransientError, match="gone is not reached"):
            Host("gone", str(config)).run("true")

    def test_a_key_that_is_refused_and_a_host_that_is_another_are_told(
        self, systemd: Systemd, tmp_path: Path
    ) -> None:
        text = systemd.config.read_text()
        for old, new in (("/client\n", "/host\n"), ("/known_hosts\n", "/none\n")):
            config = tmp_path / "config"
            config.write_text(text.replace(old, new))
            with pytest.raises(AccessDenied, match="unit-host: ") as told:
                Host(systemd.name, str(config)).run("true")
            assert "without a question" in told.value.hint

    def test_a_host_that_is_frozen_is_asked_again_later(
        self, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hosts, "_TIMEOUT", 0.5)
        with pytest.raises(TransientError, match="did not answer"):
            Host(systemd.name, str(systemd.config)).run("sleep 5")

    def test_who_may_not_is_told_how_one_may(self, systemd: Systemd) -> None:
        host = Host(systemd.name, str(systemd.config))
        with pytest.raises(AccessDenied, match="authentication required"):
            host.run("echo 'Interactive authentication required.' >&2; exit 1")
        with pytest.raises(AccessDenied, match="Failed to restart a.service: Access denied"):
            host.run(
                "echo 'Failed to restart a.service: Access denied' >&2;"
                " echo 'See system logs for details.' >&2; exit 1"
            )
        with pytest.raises(PermanentError, match="no such thing"):
            host.run("echo no such thing >&2; exit 3")

    def test_a_connection_that_is_lost_on_the_way_is_told_from_one_never_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only the second is sure to have done nothing."""
        for name, words in (
            ("lost", "Read from remote host: Connection timed out"),
            ("never", _REFUSED),
        ):
            (tmp_path / name).mkdir()
            (tmp_path / name / "ssh").write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 255\n")
            (tmp_path / name / "ssh").chmod(0o755)
        path = os.environ["PATH"]
        monkeypatch.setenv("PATH", f"{tmp_path}/lost:{path}")
        with pytest.raises(OutcomeUnknown, match="Connection timed out"):
            Host("web-1").ended("true")
        monkeypatch.setenv("PATH", f"{tmp_path}/never:{path}")
        with pytest.raises(TransientError, match="Connection refused"):
            Host("web-1").ended("true")

    def test_a_connection_that_ssh_keeps_open_for_others_holds_nothing_up(
        self, systemd: Systemd, tmp_path: Path
    ) -> None:
        """ControlPersist, which many have in their configuration: a master in the background keeps
        standard error.
        """
        sockets = tempfile.mkdtemp(prefix="s")  # a socket's path is short
        kept = f" ControlMaster auto\n ControlPersist 20\n ControlPath {sockets}/%p\n"
        config = tmp_path / "config"
        config.write_text(systemd.config.read_text() + kept)
        host, begun = Host(systemd.name, str(config)), time.monotonic()
        assert [host.run("echo here") for _ in range(3)] == ["here\n"] * 3
        assert time.monotonic() - begun < 10
        subprocess.run(
            ["ssh", "-F", str(config), "-O", "exit", systemd.name], check=True, capture_output=True
        )
        shutil.rmtree(sockets)

    def test_this_machine_needs_no_ssh(self) -> None:
        assert Host().run("echo here") == "here\n" and str(Host()) == "this machine"
        assert (
            Manager(Host(sudo=True)).systemctl("restart", "a b")
            == "sudo -n systemctl restart 'a b'"
        )


def test_a_unit_of_the_users_own_manager_is_restarted(systemd: Systemd) -> None:
    """Over a connection without a session, as a daemon's: nothing says where that manager is."""
    own = {
        "Type": "notify",
        "Delegate": "yes",
        "Environment": "XDG_RUNTIME_DIR=/run/user/0 HOME=/root",
    }
    systemd.ssh("mkdir -p -m 700 /run/user/0 && mkdir -p /run/systemd/user")
    systemd.ssh("printf '[Service]\\nExecStart=/bin/sleep 1000\\n' >/run/systemd/user/mine.service")
    systemd.unit("own-manager.service", "/lib/systemd/systemd --user", **own)
    systemd.systemctl("start", "own-manager.service")
    systemd.ssh("XDG_RUNTIME_DIR=/run/user/0 systemctl --user start mine.service")
    place = {"host": systemd.name, "ssh_config": str(systemd.config), "user": True}
    restarter = SystemdRestarter(units=["mine.service"], settle=0.2, **place)
    assert [one.text for one in restarter.preflight()] == ["restarts mine.service on unit-host"]
    wanted = change()
    (instance,) = rolled(restarter, wanted).instances
    assert instance.started_at is not None and instance.started_at > wanted.since
    systemd.systemctl("stop", "own-manager.service")


class TestSudo:
    def test_the_rules_of_the_documentation_suffice_and_give_nothing_more(
        self, systemd: Systemd
    ) -> None:
        rules = DOCS.read_text().split("```text\n")[1].split("```")[0]
        with systemd.user("rotator", rules) as config:
            systemd.unit("app@.service", "/bin/sleep 1000", EnvironmentFile="/srv/shared/app.env")
            (systemd.shared / "app.env").write_text("KEY=first-value\n")
            systemd.systemctl("start", "app@1.service", "app@2.service")
            (systemd.shared / "app.env").write_text("KEY=second-value\n")
            place = {"host": systemd.name, "ssh_config": str(config), "sudo": True}
            restarter = SystemdRestarter(units=["app@*.service"], env="KEY", settle=0.2, **place)
            assert [one.level for one in restarter.preflight()] == [Level.OK] * 2
            progress = rolled(restarter, change())
            assert [one.holds for one in progress.instances] == [single("second-value").primary] * 2
            (systemd.shared / "app.env").unlink()
            with pytest.raises(
                PermanentError, match="app@..service on unit-host is failed/failed: resources"
            ):
                rolled(restarter, change(name="r2", value="third-value"))
            host = Host(systemd.name, str(config), sudo=True)
            for words in (
                ["cat", "/etc/shadow"],
                ["cat", "/proc/1/environ", "/etc/shadow"],
                ["systemctl", "stop", "app@1"],
            ):
                with pytest.raises(AccessDenied):
                    host.run(host.command(*words))
            systemd.systemctl("stop", "app@*")

    def test_without_sudo_it_is_told_what_would_help(
        self, systemd: Systemd, service: Service
    ) -> None:
        stranger = systemd.user("stranger", "root ALL=(ALL) ALL\n")
        with stranger as config, pytest.raises(AccessDenied) as told:
            rolled(service.restarter(ssh_config=str(config)), change())
        assert "`sudo: true`" in told.value.hint


class TestFilesOnHosts:
    """Stores over ssh do what they do here: see test_stores.py for what every store must."""

    def store(self, systemd: Systemd, name: str, **settings: Any) -> Any:
        place = {
            "path": f"/srv/shared/{name}",
            "host": systemd.name,
            "ssh_config": str(systemd.config),
            **settings,
        }
        return DotenvStore(key="KEY", **place)

    def test_mode_owner_and_symlink_are_kept_and_nothing_is_left_beside(
        self, systemd: Systemd
    ) -> None:
        folder = systemd.shared / "kept"
        folder.mkdir()
        (folder / "real env").write_text("A=1\nKEY=first-value\n")
        (folder / "real env").chmod(0o640)
        os.chown(folder / "real env", 1234, 2345)
        (folder / ".env").symlink_to("real env")
        store = self.store(systemd, "kept/.env")
        store.write(single("second-value"), store.read().version, NOTE)
        status = (folder / "real env").stat()
        assert (folder / ".env").is_symlink() and (
            folder / "real env"
        ).read_text() == "A=1\nKEY=second-value\n"
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 1234, 2345)
        assert sorted(path.name for path in folder.iterdir()) == [".env", "real env"]

    def test_what_an_interrupted_write_left_is_tidied(self, systemd: Systemd) -> None:
        store, left = (
            self.store(systemd, "tidied.env"),
            systemd.shared / ".tidied.env.rotator-01DEAD",
        )
        left.write_text("half")
        store.tidy("")
        assert not left.exists()

    def test_an_absent_file_is_made_for_its_owner_only(self, systemd: Systemd) -> None:
        store = self.store(systemd, "made.env")
        assert store.read() is None
        store.write(single("new-value"), "", NOTE)
        assert stat.S_IMODE((systemd.shared / "made.env").stat().st_mode) == 0o600
        assert store.read().values["key"] == single("new-value").primary

    def test_what_comes_only_in_part_is_not_written(
        self, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A connection that is cut in the middle ends the input of the shell, which lives on."""
        store = self.store(systemd, "cut.env")
        store.write(single("first-value"), "", NOTE)
        monkeypatch.setattr(host_files, "Secret", lambda text: Secret(text[:-4]))
        with pytest.raises(TransientError, match="in part only"):
            store.write(single("second-value"), store.read().version, NOTE)
        assert (systemd.shared / "cut.env").read_text() == "KEY=first-value\n"

    def test_a_full_disk_loses_nothing(self, systemd: Systemd) -> None:
        systemd.ssh(
            "mkdir -p /run/full && mount -t tmpfs -o size=8k none /run/full && echo KEY=first-value"
            " >/run/full/env"
        )
        store = self.store(systemd, "", path="/run/full/env")
        systemd.ssh("cat /dev/zero >/run/full/filler || true")
        with pytest.raises(TransientError, match="No space left") as told:
            store.write(single("second-value"), store.read().version, NOTE)
        assert "nothing was changed" in told.value.hint
        assert systemd.ssh("cat /run/full/env; ls -A /run/full; umount /run/full").split() == [
            "KEY=first-value",
            "env",
            "filler",
        ]

    def test_what_may_not_be_written_is_told_before_a_key_is_made(self, systemd: Systemd) -> None:
        systemd.ssh(
            "mkdir -p /run/ro && mount -t tmpfs none /run/ro && echo KEY=first-value >/run/ro/env"
        )
        systemd.ssh("chmod 644 /run/ro/env && mount -o remount,ro /run/ro")
        store = self.store(systemd, "", path="/run/ro/env")
        readable, locked = store.preflight()
        assert (
            readable.level is Level.WARNING
            and readable.text == "unit-host:/run/ro/env is readable by everyone"
        )
        assert locked.level is Level.ERROR and "its file system is read-only" in locked.text
        with pytest.raises(AccessDenied, match="[Rr]ead-only"):
            store.write(single("second-value"), store.read().version, NOTE)
        systemd.ssh("umount /run/ro")

    def test_a_directory_that_is_not_there_is_told(self, systemd: Systemd) -> None:
        store = self.store(systemd, "", path="/nowhere/at/all/env")
        assert store.read() is None
        with pytest.raises(
            NotFound, match="the directory of /nowhere/at/all/env does not exist on unit-host"
        ):
            store.write(single("second-value"), "", NOTE)

    def test_a_path_that_cannot_be_looked_at_is_not_an_absent_file(self, systemd: Systemd) -> None:
        with pytest.raises(PermanentError, match="Not a directory"):
            self.store(systemd, "", path="/etc/passwd/env").read()

    def test_a_file_that_cannot_be_one_of_secrets_is_refused(self, systemd: Systemd) -> None:
        (systemd.shared / "large.env").write_text("A=1\n" * 200_000)
        with pytest.raises(PermanentError, match="larger than a file of secrets"):
            self.store(systemd, "large.env").read()

    def test_a_write_whose_end_is_not_known_is_told_as_that(
        self, systemd: Systemd, monkeypatch: Any
    ) -> None:
        store = self.store(systemd, "lost.env")
        store.write(single("first-value"), "", NOTE)
        version = store.read().version
        monkeypatch.setattr(hosts, "_TIMEOUT", 0.01)
        with pytest.raises(OutcomeUnknown):
            host_files.replace(
                Host(systemd.name, str(systemd.config)), store.path, b"KEY=second", version, "r1"
            )
        with pytest.raises(TransientError):
            store.read()

    def test_a_list_of_hosts_means_a_store_on_each(self, systemd: Systemd) -> None:
        first, second = self.store(systemd, "each.env", host=["web-1", "web-2"]).each()
        assert (first.name, second.name) == (
            "dotenv web-1:/srv/shared/each.env#KEY",
            "dotenv web-2:/srv/shared/each.env#KEY",
        )

    def test_paths_that_mean_something_else_there_are_refused(self) -> None:
        for settings in ({"host": "web-1", "path": ".env"}, {"sudo": True, "path": "~/.env"}):
            with pytest.raises(ConfigError, match="no absolute path"):
                DotenvStore(key="KEY", **settings)
        with pytest.raises(ConfigError, match="empty list"):
            DotenvStore(key="KEY", path="/a", host=[])

    def test_the_home_folder_is_the_one_there(self, systemd: Systemd) -> None:
        store = self.store(systemd, "", path="~/of-home.env")
        store.write(single("first-value"), "", NOTE)
        assert systemd.ssh("cat /root/of-home.env") == "KEY=first-value\n"


class TestEncryptedCredentials:
    def test_a_unit_gets_the_plain_text_and_no_file_has_it(self, systemd: Systemd) -> None:
        store = SystemdCredsStore(
            path="/srv/shared/sealed",
            credential="openai",
            with_key="host",
            host=systemd.name,
            ssh_config=str(systemd.config),
        )
        store.write(single("first-value"), "", NOTE)
        assert "first-value" not in (systemd.shared / "sealed").read_text()
        loads = {"LoadCredentialEncrypted": "openai:/srv/shared/sealed", "Type": "oneshot"}
        systemd.unit(
            "sealed.service",
            "/bin/sh -c 'cp $CREDENTIALS_DIRECTORY/openai /srv/shared/opened'",
            **loads,
        )
        systemd.systemctl("start", "sealed.service")
        assert (systemd.shared / "opened").read_text() == "first-value"

    def test_one_that_another_host_encrypted_is_told_in_systemds_words(
        self, systemd: Systemd
    ) -> None:
        (systemd.shared / "strange").write_text("bm90IG9mIHRoaXMgaG9zdA==\n")
        store = SystemdCredsStore(
            path="/srv/shared/strange", host=systemd.name, ssh_config=str(systemd.config)
        )
        with pytest.raises(PermanentError, match="is not decrypted"):
            store.read()

    def test_a_host_without_systemd_creds_is_told_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        for name in ("sh", "python3"):
            (tmp_path / name).symlink_to(shutil.which(name) or "/bin/sh")
        (finding,) = SystemdCredsStore(path=str(tmp_path / "sealed")).preflight()
        assert finding.level is Level.ERROR and "has no systemd-creds" in finding.text
