"""The documentation says what is so: generated pages are fresh, examples load, commands exist, the runbook runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from rotator.cli.main import cli, rotate_command
from rotator.playbook import catalog
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import Document
from tests.acceptance.conftest import AcceptanceWorld, world  # noqa: F401  (a fixture)
from tests.docs.generate import DOCS, PAGES

ROOT = DOCS.parent
TEXTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(path: Path, kind: str) -> list[str]:
    return [body for found, body in BLOCK.findall(path.read_text()) if found == kind]


def commands(path: Path) -> list[str]:
    """What follows a `$ ` in the console blocks."""
    return [
        line[2:].split("   #")[0]
        for body in blocks(path, "console")
        for line in body.splitlines()
        if line.startswith("$ ")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `python -m tests.docs.generate`"


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_playbooks_in_the_documentation_load(path: Path, tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    for body in blocks(path, "yaml"):
        if named := re.match(r"# playbooks/(providers/.+)\n", body):
            (tmp_path / named[1]).write_text(body)
    for body in blocks(path, "yaml"):
        data = yaml.safe_load(body)
        if isinstance(data, dict) and "generate" in data:
            mistakes: list[Mistake] = []
            Loader(Registry((tmp_path,)), Document(path.name, data, {}), mistakes).load("example")
            assert not mistakes, mistakes


def test_the_catalog_file_in_the_documentation_is_right(tmp_path: Path) -> None:
    (body,) = (body for body in blocks(DOCS / "catalog.md", "yaml") if body.startswith("name:"))
    (tmp_path / "acme.yaml").write_text(body)
    assert catalog.load(tmp_path / "acme.yaml").name == "Acme"


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_commands_in_the_documentation_exist(path: Path) -> None:
    for line in commands(path):
        words = shlex.split(line.split("|")[0].split("<")[0], comments=True)
        if not words or words[0] not in ("rotate", "rotator"):
            continue
        command: Any = rotate_command if words[0] == "rotate" else cli
        rest = words[1:]
        while isinstance(command, click.Group):
            name = rest.pop(0)
            found = command.commands.get(name)
            assert found is not None, line
            command = found._real() if hasattr(found, "_real") else found
        command.make_context(words[0], [word for word in rest if word != "…"], resilient_parsing=False)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_every_pain_names_a_test_that_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (DOCS / "pains.md").read_text())
    assert len(named) > 15
    assert not [name for name in named if f"def {name}(" not in tests]


def test_the_operations_runbook_does_what_it_says(world: AcceptanceWorld) -> None:  # noqa: F811
    """Explain, pause, resume; then a rotation, and back to the key that still lives, under traffic."""
    demo = world.folder / "playbooks" / "demo.yaml"
    text = re.sub(r"grace: \w+", "grace: 1h", demo.read_text())
    assert "grace: 1h" in text
    demo.with_name("openai-prod.yaml").write_text(text)
    demo.unlink()
    before = world.stored_key
    assert world.rotator("rotate", "openai-prod").returncode == 0
    assert world.stored_key != before
    for line in commands(DOCS / "runbooks" / "operations.md"):
        words = shlex.split(line, comments=True)
        result = world.rotator(*words[1:])
        assert result.returncode == 0, f"{line}: {result.stdout}{result.stderr}"
        if words[1] == "pause" and "openai-prod" in words:
            assert world.rotator("rotate", "openai-prod").returncode == 6
    assert world.stored_key == before == world.consumer_key
    assert not world.traffic.failures


def test_the_incident_runbook_does_what_it_says(world: AcceptanceWorld) -> None:  # noqa: F811
    """Typed as it stands, from the first command to the last, on a leaked key under traffic."""
    demo = world.folder / "playbooks" / "demo.yaml"
    demo.rename(demo.with_name("openai-prod.yaml"))
    leaked = world.stored_key
    done = []
    for line in commands(DOCS / "runbooks" / "incident.md"):
        words = shlex.split(line, comments=True)
        if "--revoke-first" in words or words[1] in ("resume", "confirm", "undo"):
            continue  # the branches of the runbook; each has a test of its own
        result = world.rotator(*(words if words[0] == "rotate" else words[1:]))
        assert result.returncode == 0, f"{line}: {result.stdout}{result.stderr}"
        done.append(line)
    assert len(done) >= 5
    assert leaked not in [key["value"] for key in world.live_keys]
    world.promises_hold()
