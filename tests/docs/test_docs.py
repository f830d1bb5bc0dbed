"""The documentation says what is so: generated pages are fresh, examples load, commands exist, the
runbook runs.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rotator.cli.main import cli
from rotator.cli.rotate import rotate_command
from rotator.playbook import catalog
from rotator.playbook.load import Loader
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import load as load_yaml
from tests.acceptance.conftest import AcceptanceWorld, world  # noqa: F401  (a fixture)
from tests.docs.generate import ARCHITECTURE, DOCS, PAGES, TABLES, architecture, with_table

ROOT = DOCS.parent
KILLER = ROOT / "tests" / "acceptance" / "killer"
_BESIDE = [
    ROOT / name
    for name in (
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    )
]
TEXTS = [*_BESIDE, *sorted(DOCS.rglob("*.md"))]
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


def test_the_pictures_of_the_architecture_are_fresh() -> None:
    assert ARCHITECTURE.read_text() == architecture(), "run `python -m tests.docs.generate`"


def test_every_room_is_in_the_architecture() -> None:
    """Each package has its line in the table, and each line its package."""
    named = set(re.findall(r"^\| `(\w+)/` \|", ARCHITECTURE.read_text(), re.M))
    packages = {path.parent.name for path in (ROOT / "rotator").glob("*/__init__.py")}
    assert named == packages


def test_every_file_that_the_architecture_names_exists() -> None:
    text = ARCHITECTURE.read_text()
    named = re.findall(r"\b(?:rotator|tests|docs|integrations|clients)/[\w/.-]*\w", text)
    real = [path for path in named if not {"NAME", "X"} & set(path.split("/"))]
    assert len(real) > 30
    folders = (ROOT, ROOT / "rotator")
    assert not [path for path in real if not any((at / path).exists() for at in folders)]


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (first, *_) = re.findall(r"^## \[?([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first == version


def test_the_index_of_decisions_names_each_page_by_its_title() -> None:
    """Each page says what was so, what was chosen, and what follows."""
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    rows = []
    for number, page in enumerate(pages, 1):
        title, *parts = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
        assert parts == ["Context", "Choice", "Consequence"], page.name
        assert title.startswith(f"{number:04}. "), page.name
        rows.append(f"| [{number:04}]({page.name}) | {title[6:]} |")
    index = (DOCS / "decisions" / "index.md").read_text()
    assert [line for line in index.splitlines() if line.startswith("| [")] == rows


def test_each_package_that_is_installed_has_its_reason() -> None:
    """Those of the program and of its extras; what only tests need is not all told."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {**project["optional-dependencies"]}
    wanted = project["dependencies"] + [
        one for name, more in extras.items() if name not in ("dev", "testing") for one in more
    ]
    names = {re.split(r"[\[<>=,]", one)[0].lower() for one in wanted} - {project["name"]}
    rows = re.findall(
        r"^\| ([^|]+?)(?: \([^)]*\))? \|", (DOCS / "dependencies.md").read_text(), re.M
    )
    told = {name.lower() for row in rows for name in row.split(", ")}
    assert len(names) > 15 and not names - told


@pytest.mark.parametrize("name", TABLES)
def test_generated_tables_are_fresh(name: str) -> None:
    page = (DOCS / name).read_text()
    assert page == with_table(page, TABLES[name]()), "run `python -m tests.docs.generate`"


def test_every_order_has_a_state_in_which_it_does_something() -> None:
    """A column of noes alone would say that the order is never right."""
    lines = [line for line in PAGES["orders.md"]().splitlines() if line.startswith("|")]
    verbs, *rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]
    idle = [
        verb
        for verb, *answers in zip(verbs, *rows, strict=True)
        if not any(a.startswith("→") for a in answers)
    ]
    assert not idle


# The playbook of plugins.md needs the package of that page: test_plugins.py installs it
_OF_RELEASE = [path for path in TEXTS if path.name != "plugins.md"]


@pytest.mark.parametrize("path", _OF_RELEASE, ids=lambda p: p.name)
def test_playbooks_in_the_documentation_load(path: Path, tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    for body in blocks(path, "yaml"):
        if named := re.match(r"# playbooks/(providers/.+)\n", body):
            (tmp_path / named[1]).write_text(body)
    example = tmp_path / "example.yaml"
    for body in blocks(path, "yaml"):
        example.write_text(body)
        document, mistakes = load_yaml(example, path.name)
        if isinstance(document.data, dict) and "generate" in document.data:
            document.places.clear()
            Loader(Registry((tmp_path,)), document, mistakes).load("example")
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
        command.make_context(
            words[0], [word for word in rest if word != "…"], resilient_parsing=False
        )


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*?)(?:#([^)]*))?\)", path.read_text()):
        if target.startswith("http"):
            continue
        page = path.parent / target if target else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Of each heading, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}


def test_what_contributing_names_exists() -> None:
    """Targets of make, files, modules that run."""
    text, targets = (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "Makefile").read_text()
    assert all(
        f"\n{name}:" in targets for name in re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.M)
    )
    assert all(
        (ROOT / path).exists() for path in re.findall(r"(?:tests|rotator|docs)/[\w/.]+\w", text)
    )
    modules = [name.replace(".", "/") for name in re.findall(r"python -m (tests[\w.]*\w)", text)]
    assert modules and all(
        (ROOT / f"{m}.py").exists() or (ROOT / m / "__main__.py").exists() for m in modules
    )


def test_every_pain_names_a_test_that_exists() -> None:
    of_ours, of_contracts = (
        (ROOT / "tests").rglob("test_*.py"),
        (ROOT / "rotator/testing").glob("*"),
    )
    tests = "\n".join(path.read_text() for path in (*of_ours, *of_contracts) if path.is_file())
    named = re.findall(r"`(test_\w+)`", (DOCS / "pains.md").read_text())
    assert len(named) > 15
    assert not [name for name in named if f"def {name}(" not in tests]


def test_the_operations_runbook_does_what_it_says(world: AcceptanceWorld) -> None:  # noqa: F811
    """Explain, pause, resume; then a rotation, and back to the key that still lives,
    under traffic.
    """
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


def nothing_before(of: AcceptanceWorld, playbook: Path) -> None:
    """The first thing that is ever done here."""


def an_old_key_in_its_grace(of: AcceptanceWorld, playbook: Path) -> None:
    assert of.rotator("rotate", "openai-prod").returncode == 0
    assert len(of.live_keys) == 2


def a_rotation_that_was_killed(of: AcceptanceWorld, playbook: Path) -> None:
    """Once the store holds the new key, and nobody was told."""
    before = of.environment
    killer = {
        "PYTHONPATH": str(KILLER),
        "KILL_AT": "before write",
        "PLACES": str(of.folder / "places"),
    }
    of.environment = {**before, **killer}
    assert of.rotator("rotate", "openai-prod").returncode < 0
    of.environment = before


def a_rotation_that_is_stuck(of: AcceptanceWorld, playbook: Path) -> None:
    """Its restart program failed, on and back; the playbook is corrected by now."""
    right = playbook.read_text()
    lines = [line for line in right.splitlines() if "uses: http" not in line]
    wrong = [
        "  - {uses: command, run: ['false']}" if "uses: process" in line else line for line in lines
    ]
    playbook.write_text("\n".join(wrong).replace("evidence: read", "evidence: none"))
    assert of.rotator("rotate", "openai-prod").returncode == 4
    playbook.write_text(right)


ACCIDENTS = [
    nothing_before,
    an_old_key_in_its_grace,
    a_rotation_that_was_killed,
    a_rotation_that_is_stuck,
]


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_the_incident_runbook_does_what_it_says(
    world: AcceptanceWorld,  # noqa: F811
    accident: Callable[[AcceptanceWorld, Path], None],
) -> None:
    """Typed as it stands, in order, with the settings that a playbook has by default; whatever
    happened before.
    """
    demo = world.folder / "playbooks" / "demo.yaml"
    playbook = demo.rename(demo.with_name("openai-prod.yaml"))
    lines = [
        line
        for line in playbook.read_text().splitlines()
        if not line.startswith(("revoke:", "limits:"))
    ]
    playbook.write_text("\n".join(lines))
    first = world.stored_key
    accident(world, playbook)
    leaked = world.stored_key
    done = []
    for line in commands(DOCS / "runbooks" / "incident.md"):
        words = shlex.split(line, comments=True)
        result = world.rotator(*(words if words[0] == "rotate" else words[1:]))
        looks = (
            words[1] in ("status", "doctor", "keys") or "--dry-run" in words
        )  # what stands, by their exit code
        assert result.returncode == 0 or (looks and not done), (
            f"{line}: {result.stdout}{result.stderr}"
        )
        done += [line] if words[0] == "rotate" and "--dry-run" not in words else []
    assert len(done) == 2
    live = [key["value"] for key in world.live_keys]
    assert live == [world.stored_key] == [world.consumer_key] and world.stored_key not in (
        first,
        leaked,
    )
