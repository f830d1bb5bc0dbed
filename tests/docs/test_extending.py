"""docs/extending.md, followed to the letter in a copy of the package: each change works, and is by the
rules of `make lint`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.journal import tables
from tests.docs.test_docs import DOCS, blocks, commands

ROOT = DOCS.parent
PAGE = DOCS / "extending.md"
OLD, NEXT = "0010", "0011"  # on the page
PLAYBOOK = """
generate: {uses: operator}
store: {uses: file, path: key, create: true}
verify: [{uses: command, run: [/bin/true]}]
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


def _section(tmp_path: Path, title: str) -> Path:
    """A page with this section alone; its numbers are those of the newest migration."""
    text = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert text, title
    text = text.replace(NEXT, f"{int(tables.HEAD) + 1:04}").replace(OLD, tables.HEAD)
    page = tmp_path / "section.md"
    page.write_text(text)
    return page


def _follow(copy: Path, page: Path) -> list[Path]:
    """Makes the files of a section, and changes those that it names. What was touched."""
    touched = []
    for body in blocks(page, "python"):
        file = copy / body.partition("\n")[0].removeprefix("# ")
        assert not file.exists()
        file.write_text(body.partition("\n")[2])
        touched.append(file)
    for body in blocks(page, "diff"):
        head, *lines = body.splitlines()
        file = copy / head.removeprefix("--- ")
        before = "\n".join(line[1:] for line in lines if line[0] in " -")
        after = "\n".join(line[1:] for line in lines if line[0] in " +")
        text = file.read_text()
        assert text.count(f"{before}\n") == 1, f"{file}: {before}"
        file.write_text(text.replace(f"{before}\n", f"{after}\n"))
        touched.append(file)
    assert touched
    return touched


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rotator", folder / "rotator", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, copy: Path) -> Run:
    """The command of the copy, with two playbooks of which one has an owner."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "app.yaml").write_text(PLAYBOOK)
    shop = f"owner: team blue\n{PLAYBOOK.replace('path: key', 'path: shop-key')}"
    (tmp_path / "playbooks" / "shop.yaml").write_text(shop)
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(copy),
        "ROTATOR_HOME": str(tmp_path / "state"),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", *words]
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


def _by_the_rules(copy: Path, touched: list[Path]) -> None:
    """What ruff says of the files, and import-linter of the copy, by our own configuration."""
    ruff = [sys.executable, "-m", "ruff"]
    layers = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    for argv in ([*ruff, "check", *map(str, touched)], [*ruff, "format", "--check", "."], layers):
        done = subprocess.run(argv, cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_verb(tmp_path: Path, copy: Path, run: Run) -> None:
    assert run("rotator", "owners").returncode == 2
    _by_the_rules(copy, _follow(copy, _section(tmp_path, "A verb")))
    done = run("rotator", "owners")
    assert done.returncode == 0, done.stderr
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()] == [
        ["app", "nobody"],
        ["shop", "team blue"],
    ]
    answer = json.loads(run("rotator", "owners", "--json").stdout)
    assert {"playbook": "shop", "owner": "team blue"} in answer["owners"]
    assert "Who answers for which playbook." in run("rotator", "--help").stdout


def test_an_alert(tmp_path: Path, copy: Path, run: Run) -> None:
    assert "nobody answers" not in run("rotator", "plan", "app").stdout
    _by_the_rules(copy, _follow(copy, _section(tmp_path, "An alert")))
    for verb in (("plan", "app"), ("doctor",)):
        done = run("rotator", *verb)
        assert "nobody answers for it" in done.stdout + done.stderr, done
    assert "nobody answers" not in run("rotator", "plan", "shop").stdout


def test_a_migration(tmp_path: Path, copy: Path, run: Run) -> None:
    page = _section(tmp_path, "A migration")
    assert run("rotator", "supply", "app").returncode != 0, "nothing is under way"
    assert run("rotator", "status").returncode == 0, "there is a journal of the version before"
    journal = tmp_path / "state" / "journal.db"
    with sqlite3.connect(journal) as before:
        before.execute("INSERT INTO playbooks (name, definition) VALUES ('kept', '{}')")
    _by_the_rules(copy, _follow(copy, page))
    refused, upgraded, done = (run(*line.split()) for line in commands(page))
    assert refused.returncode != 0 and "rotator db upgrade" in refused.stderr
    assert upgraded.returncode == 0, upgraded.stderr
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(journal) as after:
        assert after.execute("SELECT name, ticket FROM playbooks").fetchall() == [("kept", None)]


def test_the_architecture_leads_here() -> None:
    """Its rows for these changes lead to the page's sections."""
    rows = (ROOT / "ARCHITECTURE.md").read_text()
    for title in ("a verb", "an alert", "a migration"):
        row = next(line for line in rows.splitlines() if line.startswith(f"| **{title}**"))
        anchor = title.replace(" ", "-")
        assert re.search(rf"docs/extending\.md#{anchor}", row), row
