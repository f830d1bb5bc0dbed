"""docs/plugins.md, followed to the letter: its package is installed, its plugins are checked, and a key is rotated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.plugin import probe, provider, restarter, store
from tests.docs.test_docs import DOCS, blocks, commands

PAGE = DOCS / "plugins.md"
FIRST = "acme-0123456789abcdef0123456789abcdef"
Run = Callable[..., subprocess.CompletedProcess[str]]


def _file(kind: str, name: str) -> str:
    (body,) = (one for one in blocks(PAGE, kind) if one.startswith(f"# {name}\n"))
    return body


def _install(site: Path) -> None:
    """What an installer leaves of the page's package: its module, and its metadata."""
    project = tomllib.loads(_file("toml", "pyproject.toml"))
    about = project["project"]
    for module in project["tool"]["setuptools"]["py-modules"]:
        (site / f"{module}.py").write_text(_file("python", f"{module}.py"))
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in about["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points)


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """Acme, with two jobs that run with a key which was made by hand; the package, the playbook."""
    site = tmp_path / "site"
    for folder in ("site", "desk", "bench", "playbooks"):
        (tmp_path / folder).mkdir()
    _install(site)
    made = {"name": "by hand", "value": FIRST, "made_at": time.time()}
    (tmp_path / "desk" / "first.json").write_text(json.dumps(made))
    (tmp_path / "drawer").write_text(FIRST)
    for job in ("web", "worker"):
        (tmp_path / "bench" / f"{job}.json").write_text(
            json.dumps({"key": FIRST, "started_at": time.time()})
        )
    (tmp_path / "playbooks" / "acme-app.yaml").write_text(
        _file("yaml", "playbooks/acme-app.yaml") + "limits: {pass_interval: 10ms}\n"
    )
    return tmp_path


@pytest.fixture
def run(acme: Path) -> Run:
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(acme / "site"),
        "ROTATOR_HOME": str(acme / "state"),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=acme, env=env, capture_output=True, text=True)

    return run


def _values(acme: Path) -> list[str]:
    return [json.loads(one.read_text())["value"] for one in (acme / "desk").glob("*.json")]


def test_a_package_by_the_page_is_loaded_checked_and_rotates(acme: Path, run: Run) -> None:
    """Its three commands: the key that was made by hand is replaced, and destroyed."""
    lines = [line.split() for line in commands(PAGE)]
    assert [line[0] for line in lines] == ["rotator", "rotator", "rotate"]
    for line in lines:
        done = run(*line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    (value,) = _values(acme)
    assert value != FIRST and (acme / "drawer").read_text() == value
    for job in ("web", "worker"):
        assert json.loads((acme / "bench" / f"{job}.json").read_text())["key"] == value
    assert "cannot compare and set" in done.stdout + done.stderr


def test_a_mistake_in_it_is_told_as_the_page_shows(acme: Path, run: Run) -> None:
    module = acme / "site" / "rotator_acme.py"
    text = module.read_text().replace("def progress(self, change: Change)", "def progress(self)")
    module.write_text(text.replace("def shown(", "def look("))
    done = run("rotator", "validate", "acme-app")
    shown = next(one for one in blocks(PAGE, "text") if one.startswith("error: "))
    assert done.returncode == 2
    assert all(line in done.stderr for line in shown.splitlines()), done.stderr


def test_the_page_names_every_capability() -> None:
    named = set(re.findall(r"^\| `(\w+)` \| a ", PAGE.read_text(), re.M))
    there = {
        name
        for module in (provider, store, restarter, probe)
        for name, found in vars(module).items()
        if getattr(found, "_is_runtime_protocol", False) and found.__module__ == module.__name__
    }
    assert named == there
