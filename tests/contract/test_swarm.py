"""Docker Swarm: secrets that cannot change, services that get the next one, tasks that show it; at
a real engine.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import ConfigError, Conflict, NotFound, PermanentError, TransientError
from rotator.integrations.docker import swarm as door
from rotator.integrations.docker.swarm_restarter import SwarmRestarter
from rotator.integrations.docker.swarm_store import SwarmStore
from rotator.model import Change, Level, Note, single
from rotator.plugin import Store
from rotator.testing.restarters import RestarterContract
from rotator.testing.stores import StoreContract
from tests.contract.rolling import rolled
from tests.servers.engine import Engine
from tests.servers.tools import run, wait_for

NOTE = Note("key_1", "inst", "01ROTATION", 1000.0)
_count = itertools.count(1)


class Family:
    """A secret that people made, and services that take it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, f"key{next(_count)}"
        engine.cli("secret", "create", self.name, "-", input="first-value", stdin=None)
        self.services: list[str] = []

    @property
    def store(self) -> SwarmStore:
        return SwarmStore(secret=self.name, host=self.engine.host)

    def restarter(self, services: list[str] | str = "discover") -> SwarmRestarter:
        return SwarmRestarter(services=services, host=self.engine.host).beside([self.store.writes])

    def service(self, *options: str, command: list[str] | None = None, secret: bool = True) -> str:
        name = f"{self.name}-service{len(self.services)}"
        self.services.append(name)
        takes = (
            ["--secret", f"source={self.name},target=openai,mode=0440,uid=65534"] if secret else []
        )
        self.engine.service(name, *takes, *options, command=command or ["sleep", "1000"])
        return name

    def spec(self, service: str) -> Any:
        return json.loads(self.engine.cli("service", "inspect", service))[0]["Spec"]

    def write(self, value: str) -> str:
        held = self.store.read()
        return self.store.write(
            single(value), held.version if held else "", replace(NOTE, rotation=f"of {value}")
        )

    def close(self) -> None:
        for name in self.services:
            self.engine.cli("service", "rm", name)


@pytest.fixture
def family(swarm: Engine) -> Iterator[Family]:
    found = Family(swarm)
    yield found
    found.close()


def change(name: str, since: float = 0.0) -> Change:
    return Change(name, since, single("second-value"))


NOWHERE = "tcp://127.0.0.1:9"


class TestStoreContract(StoreContract):
    """What a secret holds is seen by who takes it alone: a task of a service made for the look."""

    @pytest.fixture
    def uses(self) -> str:
        return "swarm"

    @pytest.fixture
    def store(self, family: Family) -> SwarmStore:
        self.family = family
        return family.store

    @pytest.fixture
    def put(self, family: Family) -> Callable[[str], object]:
        """Another writer makes the next one of the family."""

        def put(value: str) -> None:
            mark = f"rotator.secret={family.name}"
            name = f"{family.name}-r1"
            family.engine.cli("secret", "create", "-l", mark, name, "-", input=value, stdin=None)

        return put

    @pytest.fixture
    def absent(self, family: Family) -> SwarmStore:
        return replace(family.store, secret=f"{family.name}-other")

    @pytest.fixture
    def unreachable(self) -> SwarmStore:
        return SwarmStore(secret="key", host=NOWHERE)

    def value_in(self, store: Store) -> str:
        held = store.read()
        assert held is not None
        look = f"{held.version}-look{next(_count)}"
        takes = ("--secret", f"source={held.version},target=key")
        self.family.engine.service(look, *takes, command=["sleep", "1000"])
        try:
            (value,) = self.family.engine.in_tasks(look, "cat", "/run/secrets/key")
        finally:
            self.family.engine.cli("service", "rm", look)
        return value


class TestRestarterContract(RestarterContract):
    """Two services take the secret; a task is new where it has started again."""

    patience = 60.0

    @pytest.fixture
    def uses(self) -> str:
        return "swarm"

    @pytest.fixture
    def restarter(self, family: Family) -> SwarmRestarter:
        for _ in range(2):
            family.service()
        return family.restarter()

    @pytest.fixture
    def put(self, family: Family) -> Callable[[str], object]:
        return family.write

    @pytest.fixture
    def unreachable(self) -> SwarmRestarter:
        return SwarmRestarter(services=["app"], host=NOWHERE)


class TestSecrets:
    def test_each_write_is_the_next_secret_with_its_note(self, family: Family) -> None:
        before = family.store.read()
        assert (
            before is not None
            and before.values is None
            and before.version == family.name
            and before.note is None
        )
        version = family.write("second-value")
        held = family.store.read()
        assert held is not None and held.version == version == f"{family.name}-r1"
        assert (
            held.note
            == replace(NOTE, rotation="of second-value", at=held.note.at if held.note else 0)
            and abs((held.written_at or 0) - time.time()) < 60
        )
        assert family.write("third-value") == f"{family.name}-r2"

    def test_a_write_over_a_newer_one_is_a_conflict(self, family: Family) -> None:
        family.write("second-value")
        with pytest.raises(Conflict):
            family.store.write(single("late-value"), family.name, NOTE)
        with pytest.raises(Conflict):  # two at the same moment: a name exists once
            door.create_secret(family.store, f"{family.name}-r1", single("x").primary, {})

    def test_retire_removes_the_one_with_the_revoked_key_and_no_other(self, family: Family) -> None:
        family.write("second-value")
        family.store.retire(f"{family.name}-r1")
        assert (held := family.store.read()) is not None and held.version == f"{family.name}-r1", (
            "it is the present one"
        )
        family.store.retire(family.name)
        family.store.retire(family.name)
        names = family.engine.cli("secret", "ls", "--format", "{{.Name}}").split()
        assert family.name not in names and f"{family.name}-r1" in names

    def test_a_write_that_was_done_again_after_a_crash_leaves_one_secret(
        self, family: Family
    ) -> None:
        """Nobody can read what a secret holds, so what a lost answer left is written once more."""
        for value in ("second-value", "third-value", "third-value"):
            family.write(value)
        family.store.retire(f"{family.name}-r1")
        assert [
            one["Spec"]["Name"]
            for one in door.secrets(family.store)
            if family.name in one["Spec"]["Name"]
        ] == [f"{family.name}-r3"]

    def test_one_that_is_in_use_is_told_with_its_users(self, family: Family) -> None:
        service = family.service()
        family.write("second-value")
        with pytest.raises(PermanentError, match=service):
            family.store.retire(family.name)

    def test_what_cannot_work_is_told_before_anything(self, family: Family, engine: Engine) -> None:
        assert family.store.preflight() == []
        (missing,) = SwarmStore(secret="nobody-made-it", host=family.engine.host).preflight()
        assert (
            "no such secret" in missing.text
            and SwarmStore(secret="x", host=family.engine.host).read() is None
        )
        for plugin in (
            SwarmStore(secret="x", host=engine.host),
            SwarmRestarter(services=["x"], host=engine.host),
        ):
            (lone,) = plugin.preflight()
            assert "no manager of a swarm" in lone.text
        with pytest.raises(ConfigError, match="cannot be a secret's name"):
            SwarmStore(secret="a b")


class TestServices:
    def test_the_reference_is_swapped_and_everything_else_stays(self, family: Family) -> None:
        service = family.service(
            "--replicas", "2", "--env", "A=1", "--label", "team=a", "--limit-memory", "64m"
        )
        before = family.spec(service)
        family.write("second-value")
        since = time.time()
        progress = rolled(family.restarter(), change("r1", since))
        assert (progress.total, progress.current, len(progress.instances)) == (1, 1, 2)
        assert all(
            one.started_at is not None and one.started_at > since for one in progress.instances
        )
        assert family.engine.in_tasks(service, "cat", "/run/secrets/openai") == ["second-value"] * 2
        after = family.spec(service)
        reference = after["TaskTemplate"]["ContainerSpec"]["Secrets"][0]
        assert reference["File"] == {"Name": "openai", "UID": "65534", "GID": "0", "Mode": 0o440}
        assert reference["SecretName"] == f"{family.name}-r1"
        for spec in (before, after):
            del spec["TaskTemplate"]["ContainerSpec"]["Secrets"]
            spec["TaskTemplate"]["ContainerSpec"].pop("Labels", None)
        assert after == before

    def test_a_service_that_was_rolled_back_by_hand_has_proven_nothing(
        self, family: Family
    ) -> None:
        """Its tasks are younger than the newest secret, and have the one before."""
        service = family.service()
        family.write("second-value")
        since = time.time()
        rolled(family.restarter(), change("r1", since))
        family.engine.cli("service", "rollback", service)
        assert family.engine.in_tasks(service, "cat", "/run/secrets/openai") == ["first-value"]
        (instance,) = family.restarter().shown(Change("look", since, single("x"))).instances
        assert instance.started_at is None and instance.name == f"{service}.1 with {family.name}"
        family.engine.cli("service", "rollback", service)
        (instance,) = family.restarter().shown(Change("look", since, single("x"))).instances
        assert instance.started_at is not None and instance.started_at > since

    def test_a_stack_file_can_name_the_newest_by_the_command_of_the_docs(
        self, family: Family
    ) -> None:
        for number in range(11):
            family.write(f"value {number}")
        text = (Path(__file__).parents[2] / "docs" / "swarm.md").read_text()
        (command,) = re.findall(r"^OPENAI_KEY_SECRET=\$\((.*)\)$", text, re.MULTILINE)
        words = command.replace("openai_key", family.name).replace(
            "docker ", f"docker -H {family.engine.host} ", 1
        )
        assert run(["sh", "-c", words]).strip() == f"{family.name}-r11"

    def test_the_same_change_again_is_none(self, family: Family) -> None:
        service = family.service()
        rolled(family.restarter(), change("r1"))
        tasks = family.engine.in_tasks(service, "cat", "/proc/sys/kernel/random/boot_id")
        version = json.loads(family.engine.cli("service", "inspect", service))[0]["Version"]
        family.restarter().restart(change("r1"))
        assert (
            json.loads(family.engine.cli("service", "inspect", service))[0]["Version"] == version
            and tasks
        )

    def test_who_takes_the_secret_is_found_and_no_other(self, family: Family) -> None:
        service = family.service()
        family.service(secret=False)
        assert [one.text for one in family.restarter().preflight()] == [
            f"updates service {service}"
        ]

    def test_a_service_that_reads_elsewhere_is_made_to_start_anew(self, family: Family) -> None:
        service = family.service(secret=False)
        before = family.engine.cli(
            "ps", "-q", "--filter", f"label=com.docker.swarm.service.name={service}"
        )
        rolled(family.restarter([service]), change("r1"))
        assert (
            family.engine.cli(
                "ps", "-q", "--filter", f"label=com.docker.swarm.service.name={service}"
            )
            != before
        )
        with pytest.raises(NotFound, match="no service none"):
            family.restarter(["none"]).restart(change("r1"))

    def test_a_roll_back_by_the_services_own_settings_is_told_with_the_tasks_words(
        self, family: Family
    ) -> None:
        script = "grep -q first-value /run/secrets/openai || { echo no good; exit 7; }; sleep 1000"
        service = family.service(
            "--update-failure-action",
            "rollback",
            "--restart-condition",
            "none",
            command=["sh", "-c", script],
        )
        family.write("second-value")
        with pytest.raises(PermanentError, match="no good") as told:
            rolled(family.restarter(), change("r1"))
        assert f"service {service}" in str(told.value)
        assert family.engine.in_tasks(service, "cat", "/run/secrets/openai") in (
            ["first-value"],
            [],
        )
        family.write("first-value")
        rolled(family.restarter(), change("undo"))
        assert family.engine.in_tasks(service, "cat", "/run/secrets/openai") == ["first-value"]

    def test_a_service_that_rolls_itself_back_is_left_to_it(
        self, family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second update meanwhile would take the tasks that serve before the failed ones are
        back.
        """
        service, real = family.service(), door.services

        def rolling(connection: Any) -> list[Any]:
            return [
                {**one, "UpdateStatus": {"State": "rollback_started"}} for one in real(connection)
            ]

        before = family.spec(service)
        with monkeypatch.context() as patch:
            patch.setattr(door, "services", rolling)
            told = family.restarter().restart(change("undo"))
        assert (
            told is not None and "rolls itself back" in told.text and family.spec(service) == before
        )
        rolled(family.restarter(), change("undo"))

    def test_tasks_that_are_coming_back_are_waited_for_before_an_update_takes_others(
        self, family: Family
    ) -> None:
        """A roll-back counts as completed while what failed still waits for its restart."""
        service = family.service("--replicas", "2", "--restart-delay", "4s")
        family.engine.end_task(service, 1)
        before, failed = family.spec(service), lambda: family.engine.cli("service", "ps", service)
        wait_for("its failure", lambda: "Failed" in failed(), 10)
        told = family.restarter().restart(change("undo"))
        assert told is not None and told.text == f"service {service} 1/2"
        assert family.spec(service) == before
        rolled(family.restarter(), change("undo"))

    def test_tasks_that_fail_with_what_they_had_before_are_not_waited_for(
        self, family: Family
    ) -> None:
        """They need what was written."""
        script = "grep -q second-value /run/secrets/openai && sleep 1000; exit 7"
        service = family.service("--detach", command=["sh", "-c", script])
        wait_for("a failure", lambda: "Failed" in family.engine.cli("service", "ps", service), 20)
        family.write("second-value")
        rolled(family.restarter(), change("r1"))

    def test_an_update_that_was_paused_is_rolled_back_before_the_next_one(
        self, family: Family
    ) -> None:
        """Only so is it sure that the task which is down goes before the one that serves."""
        script = "grep -q first-value /run/secrets/openai || exit 7; sleep 1000"
        service = family.service(
            *("--replicas", "2", "--update-delay", "1s"), command=["sh", "-c", script]
        )
        family.write("second-value")
        with pytest.raises(PermanentError, match="paused"):
            rolled(family.restarter(), change("r1"))
        family.write("first-value")
        restarter = family.restarter()

        def comes_back() -> bool:
            values = family.engine.in_tasks(service, "cat", "/run/secrets/openai")
            assert "first-value" in values, "one serves at any time"
            return restarter.restart(change("undo")) is None

        assert not comes_back()
        wait_for("the roll-back", comes_back, 30)
        rolled(restarter, change("undo"))
        values = family.engine.in_tasks(service, "cat", "/run/secrets/openai")
        assert values == ["first-value"] * 2

    def test_what_is_not_well_already_is_told(self, family: Family) -> None:
        service = family.service()
        family.engine.cli("service", "update", "-q", "--detach", "--args", "false", service)
        time.sleep(1)
        (finding,) = family.restarter().preflight()
        assert finding.level is Level.ERROR and service in finding.text

    def test_somebody_elses_update_in_between_is_written_after(
        self, family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service, real = family.service(), door.service

        def just_after(*arguments: Any) -> Any:
            found = real(*arguments)
            monkeypatch.setattr(door, "service", real)
            family.engine.cli(
                "service", "update", "-q", "--detach", "--label-add", "team=b", service
            )
            return found

        monkeypatch.setattr(door, "service", just_after)
        family.restarter().restart(change("r1"))
        spec = family.spec(service)
        assert spec["Labels"] == {"team": "b"}
        (label,) = spec["TaskTemplate"]["ContainerSpec"]["Labels"].items()
        assert label[0].startswith("rotator.change-") and label[1].startswith("r1@")

    def test_an_update_that_never_gets_its_turn_is_asked_again_later(
        self, family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service, real = family.service(), door.service

        def outdated(*arguments: Any) -> Any:
            found = real(*arguments)
            assert found is not None
            found["Version"]["Index"] -= 1
            return found

        monkeypatch.setattr(door, "service", outdated)
        with pytest.raises(TransientError, match="being updated by somebody else"):
            family.restarter([service]).restart(change("r1"))

    def test_settings_that_cannot_work_are_told(self) -> None:
        with pytest.raises(ConfigError, match="`discover` or a list"):
            SwarmRestarter(services="all")
        with pytest.raises(ConfigError, match="no secret to discover"):
            SwarmRestarter(services="discover").beside([])
