"""A person makes the key and destroys the old one; rotator is killed at what it does before, between and after."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from rotator.demo.world import _installed
from tests.acceptance import kills
from tests.acceptance.conftest import AcceptanceWorld

# Nobody knows of a key before it is supplied: there is nothing to recover, and nothing may be asked for twice.
PLACES = (
    "after preflight",
    "before check",
    "before write",
    "before look",
    "before debt look",
    "before debt prove",
)


class OperatorWorld(AcceptanceWorld):
    """The demo's service, whose provider has no API for keys that rotator may use; and the person at its console."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, step="5s")
        path = folder / "playbooks" / "demo.yaml"
        playbook = yaml.safe_load(path.read_text())
        path.write_text(json.dumps({**playbook, "generate": {"uses": "operator"}, "verify": playbook["verify"][1:]}))
        self.made: dict[str, str] = {}

    def run(self, **environment: str) -> tuple[int, str]:
        """`rotate demo --wait`, and what the person does whenever it waits for them."""
        code, told = super().run(**environment)
        out = told
        while code == 5:
            if "rotator supply" in told:
                code, told = self._said(("supply", "demo", "--wait"), self._console_makes(), environment)
            else:
                self._console_destroys()
                code, told = self._said(("confirm", "demo"), "", environment)
            out += told
        return code, out

    def _said(self, arguments: tuple[str, ...], text: str, environment: dict[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            [*_installed(arguments[0]), *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            input=text,
        )
        return done.returncode, done.stdout + done.stderr

    def _console_makes(self) -> str:
        """A new key; the same again to whoever asks before it is in force."""
        value = next((one["value"] for one in self.live_keys if one["value"] in self.made), "")
        if not value or value == self.stored_key:
            made = self.admin("POST", "/v1/organization/projects/proj_demo/service_accounts", {"name": "by a person"})
            value = str(made["api_key"]["value"])
            self.made[value] = made["id"]
        return value

    def _console_destroys(self) -> None:
        for one in self.live_keys:
            if one["value"] != self.stored_key:
                self.admin("DELETE", f"/v1/organization/projects/proj_demo/api_keys/{one['id']}")


@pytest.fixture
def person(tmp_path: Path) -> Iterator[OperatorWorld]:
    found = OperatorWorld(tmp_path)
    found.traffic.start()
    yield found
    found.close()


def test_a_person_makes_and_destroys_the_keys_and_nobody_notices(person: OperatorWorld) -> None:
    old = person.stored_key
    kills.carry_on(person)
    assert person.stored_key != old and len(person.made) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_at_any_boundary_is_survived(
    person: OperatorWorld, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = kills.survive(person, PLACES)
    record_property("kills", kills.told("operator", seen))
    with capsys.disabled():
        print(f"\n{kills.told('operator', seen)}; {person.traffic.requests} requests, 0 failed")
