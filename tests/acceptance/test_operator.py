"""A person makes the key and destroys the old one; rotator is killed at what it does before,
between and after.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from rotator.demo.world import _installed
from tests.acceptance import kills
from tests.acceptance.conftest import AcceptanceWorld

# Nobody knows of a key before it is supplied: there is nothing to recover, and nothing may be asked
# for twice.
PLACES = (
    "after preflight",
    "before check",
    "before write",
    "before look",
    "before debt look",
    "before debt prove",
)


class OperatorWorld(AcceptanceWorld):
    """The demo's service, whose provider has no API for keys that rotator may use; and the person
    at its console.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, step="5s")
        path = folder / "playbooks" / "demo.yaml"
        playbook = yaml.safe_load(path.read_text())
        path.write_text(
            json.dumps(
                {**playbook, "generate": {"uses": "operator"}, "verify": playbook["verify"][1:]}
            )
        )
        self.made: dict[str, str] = {}

    def run(self, **environment: str) -> tuple[int, str]:
        """`rotate demo --wait`, and what the person does whenever it waits for them."""
        code, told = super().run(**environment)
        out = told
        while code == 5:
            if "rotator supply" in told:
                code, told = self.said(
                    ("supply", "demo", "--wait"), self.console_makes(), environment
                )
            else:
                self.console_destroys()
                code, told = self.said(("confirm", "demo"), "", environment)
            out += told
        return code, out

    def said(
        self,
        arguments: tuple[str, ...],
        text: str = "",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, str]:
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

    def console_makes(self) -> str:
        """A new key; the same again to whoever asks before it is in force."""
        value = next((one["value"] for one in self.live_keys if one["value"] in self.made), "")
        if not value or value == self.stored_key:
            made = self.admin(
                "POST",
                "/v1/organization/projects/proj_demo/service_accounts",
                {"name": "by a person"},
            )
            value = str(made["api_key"]["value"])
            self.made[value] = made["id"]
        return value

    def console_destroys(self) -> None:
        for one in self.live_keys:
            if one["value"] != self.stored_key:
                self.admin("DELETE", f"/v1/organization/projects/proj_demo/api_keys/{one['id']}")


@pytest.fixture
def person(tmp_path: Path) -> Iterator[OperatorWorld]:
    with OperatorWorld(tmp_path) as found:
        yield found


def test_a_person_makes_and_destroys_the_keys_and_nobody_notices(person: OperatorWorld) -> None:
    old = person.stored_key
    kills.carry_on(person)
    assert person.stored_key != old and len(person.made) == 1


def test_a_key_that_still_works_is_not_believed_to_be_destroyed(person: OperatorWorld) -> None:
    """The playbook's own probe asks with it: the confirmation is turned down, until it is refused
    indeed.
    """
    path, old = person.folder / "playbooks" / "demo.yaml", person.stored_key
    playbook = json.loads(path.read_text())
    asking = {
        "headers": {"authorization": "Bearer {key}"},
        "json": {"message": "hello"},
        "method": "POST",
    }
    url = f"{person.issuer}/v1/chat/completions"
    path.write_text(
        json.dumps(
            {**playbook, "verify": [*playbook["verify"], {"uses": "http", "url": url, **asking}]}
        )
    )
    waiting = person.rotator("rotate", "demo", "--wait")
    assert waiting.returncode == 5, waiting
    code, out = person.said(("supply", "demo", "--wait"), person.console_makes())
    assert code == 5 and "rotator confirm demo" in out and "The next `rotate --due`" not in out, out
    code, out = person.said(("confirm", "demo"))
    assert code == 4 and out.count("was said to be destroyed, and still works") == 1, out
    assert "✓ refused by the provider" not in out and "is not refused yet" in out, out
    assert old in [one["value"] for one in person.live_keys] and "is dead" not in out
    person.console_destroys()
    code, out = person.said(("confirm", "demo"))
    assert (
        code == 0
        and "is dead" in out
        and '"dead, proven"' in person.rotator("audit", "tail", "-n", "9").stdout
    ), out
    person.promises_hold()


def test_a_key_that_nothing_can_ask_with_is_not_called_dead(person: OperatorWorld) -> None:
    code, out = person.run()
    told = person.rotator("audit", "tail", "-n", "9").stdout
    assert (
        code == 0
        and "is said to be destroyed; nothing can prove it" in out
        and "dead, proven" not in told
    ), out
    assert "says; not proven" in told, told


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_at_any_boundary_is_survived(
    person: OperatorWorld,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = kills.survive(person, PLACES)
    record_property("kills", kills.told("operator", seen))
    with capsys.disabled():
        print(f"\n{kills.told('operator', seen)}; {person.traffic.requests} requests, 0 failed")
