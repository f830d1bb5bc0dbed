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
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from rotator.playbook import registry
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import Document
from rotator.plugin import capabilities, probe, provider, restarter, store
from tests.contract.test_kit import CONTRACTS, names_of, run_pytest
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


def _edit(acme: Path, right: str, wrong: str) -> None:
    module = acme / "site" / "rotator_acme.py"
    text = module.read_text()
    assert right in text
    module.write_text(text.replace(right, wrong))


def test_an_answer_of_another_type_is_refused_before_anything_is_changed(
    acme: Path, run: Run
) -> None:
    _edit(acme, 'Held({"key": Secret(text)}, _version(text))', 'Held({"key": Secret(text)}, 7)')
    done = run("rotate", "acme-app")
    assert done.returncode == 6
    (shown,) = (one for one in blocks(PAGE, "text") if "read()" in one)
    without_id = re.sub(r"r-\w{5}", "r-yvrek", done.stderr)
    assert shown in without_id, done.stderr
    assert _values(acme) == [FIRST]


def test_a_key_whose_answer_is_of_another_type_is_destroyed(acme: Path, run: Run) -> None:
    """It was made: it is found by its label, and does not stay as an orphan."""
    right = "return single(value, key_id=key_id, hint=hint_of(value))"
    _edit(acme, right, 'return {"id": key_id, "value": value}')
    done = run("rotate", "acme-app")
    assert done.returncode == 3, done.stderr
    assert "provider.acme: `generate(label, like)` is a dict, not a" in done.stdout + done.stderr
    assert _values(acme) == [FIRST] and (acme / "drawer").read_text() == FIRST


def test_an_error_that_it_did_not_foresee_names_plugin_and_member(acme: Path, run: Run) -> None:
    """The rotation is undone: the key that was made by hand is in force."""
    _edit(acme, "jobs = self._instances()\n        waiting", 'jobs = {}["jobs"]\n        waiting')
    done = run("rotate", "acme-app", "--wait")
    said = done.stdout + done.stderr
    assert "restarter.acme: `progress(change)` raised KeyError: 'jobs'" in said
    assert (acme / "drawer").read_text() == FIRST and FIRST in _values(acme)


_KIT = """
import json
import time
from pathlib import Path

import pytest
from rotator_acme import AcmeProbe, AcmeProvider, AcmeRestarter, AcmeStore

from rotator.model import single
from rotator.testing.probes import ProbeContract
from rotator.testing.providers import ProviderContract
from rotator.testing.restarters import RestarterContract
from rotator.testing.stores import StoreContract


class Named:
    @pytest.fixture
    def uses(self):
        return "acme"


class TestProvider(Named, ProviderContract):
    @pytest.fixture
    def provider(self, tmp_path):
        return AcmeProvider(desk=str(tmp_path))


class TestStore(Named, StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        (tmp_path / "drawer").write_text(self.first)
        return AcmeStore(drawer=str(tmp_path / "drawer"))

    @pytest.fixture
    def put(self, tmp_path):
        return (tmp_path / "drawer").write_text

    @pytest.fixture
    def absent(self, tmp_path):
        return AcmeStore(drawer=str(tmp_path / "another"))


class TestRestarter(Named, RestarterContract):
    @pytest.fixture
    def restarter(self, tmp_path):
        (tmp_path / "drawer").write_text(self.first)
        for job in ("web", "worker"):
            runs = {"key": self.first, "started_at": time.time() - 60}
            (tmp_path / f"{job}.json").write_text(json.dumps(runs))
        drawer = str(tmp_path / "drawer")
        return AcmeRestarter(jobs=["web", "worker"], bench=str(tmp_path), drawer=drawer)

    @pytest.fixture
    def put(self, tmp_path):
        return (tmp_path / "drawer").write_text


class TestProbe(Named, ProbeContract):
    @pytest.fixture
    def probe(self, tmp_path):
        key = {"name": "", "value": "acme-0123456789abcdef", "made_at": 0}
        (tmp_path / "key.json").write_text(json.dumps(key))
        return AcmeProbe(desk=str(tmp_path))

    @pytest.fixture
    def good(self):
        return single("acme-0123456789abcdef")
"""


def test_the_plugins_of_the_page_pass_the_kit(tmp_path: Path) -> None:
    """All but what needs a system that does not answer, which files always do, and what is about
    restarters that name what they restart.
    """
    _install(tmp_path)
    (tmp_path / "tests").mkdir()
    imports, *classes = _KIT.split("\n\n\nclass Test")
    for text in classes:
        kind = text.partition("(")[0].lower()
        module = f"{imports}\n\n\nclass Test{text}"
        (tmp_path / "tests" / f"test_{kind}.py").write_text(module)
    results = run_pytest(tmp_path)
    for contract in CONTRACTS:
        came = results[f"test_{contract.kind}"]
        skipped = [name for name in came if "does_not_answer" in name]
        assert len(skipped) == 1
        expected = dict.fromkeys(names_of(contract), "passed") | dict.fromkeys(skipped, "skipped")
        assert came == expected


_SERVER = "settings of rotator_acme.py, were Acme a server"


def test_settings_arrive_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_server.py").write_text(_file("python", _SERVER))
    monkeypatch.syspath_prepend(tmp_path)
    point = metadata.EntryPoint("probe.acme", "acme_server:AcmeProbe", "rotator.plugins")
    monkeypatch.setattr(
        registry, "_entry_points", lambda kind: {"acme": point} if kind == "probe" else {}
    )
    (tmp_path / "token").write_text("acme-admin-8f3k2m9x7q\n")
    data = {
        "generate": {"uses": "memory", "issuer": "i"},
        "store": {"uses": "memory", "cell": "c"},
        "verify": [
            {"uses": "acme", "url": "u", "token": {"file": "token"}, "timeout": "1m"},
        ],
    }
    mistakes: list[Mistake] = []
    document = Document("p.yaml", data, {}, folder=str(tmp_path))
    (playbook,) = Loader(Registry(), document, mistakes).load("p")
    assert not mistakes
    acme: Any = playbook.probes[0]
    assert (acme.url, acme.timeout) == ("u", 60.0)
    assert acme.token.resolve().reveal() == "acme-admin-8f3k2m9x7q"
    (tmp_path / "token").write_text("acme-admin-2w7r4t6y1z\n")
    assert acme.token.resolve().reveal() == "acme-admin-2w7r4t6y1z"


def test_the_page_names_every_capability() -> None:
    named = set(re.findall(r"^\| `(\w+)` \| a ", PAGE.read_text(), re.M))
    there = {
        name
        for module in (capabilities, provider, store, restarter, probe)
        for name, found in vars(module).items()
        if getattr(found, "_is_runtime_protocol", False) and found.__module__ == module.__name__
    }
    assert named == there
