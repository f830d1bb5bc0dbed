"""The kit as a package of somebody else uses it: Acme's plugins pass with the tests of
docs/testing-plugins.md, and each wrong behaviour is noticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rotator.testing.probes import ProbeContract
from rotator.testing.providers import ProviderContract
from rotator.testing.restarters import RestarterContract
from rotator.testing.stores import StoreContract
from tests.contract.wrong_toys import WRONG_TOYS, WrongToy

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing-plugins.md"
ACME = Path(__file__).parent / "toys" / "acme_rotator"
_BLOCK = re.compile(r"^```python\n# (tests/test_\w+\.py)\n(.*?)^```", re.M | re.S)
CONTRACTS = (StoreContract, RestarterContract, ProbeContract, ProviderContract)


def page_tests() -> dict[str, str]:
    """The test modules of the page, by kind of plugin."""
    modules = _BLOCK.findall(PAGE.read_text())
    return {Path(name).stem.removeprefix("test_"): text for name, text in modules}


def entry_points(folder: Path, packages: Mapping[str, str]) -> None:
    """Writes what an installed distribution leaves; `packages` by the name that playbooks use."""
    metadata = folder / "acme_rotator-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rotator\nVersion: 1.0\n")
    lines = [
        f"{kind}.{uses} = {package}.{kind}:Acme{kind.capitalize()}"
        for uses, package in packages.items()
        for kind in ("provider", "store", "restarter", "probe")
    ]
    (metadata / "entry_points.txt").write_text("\n".join(["[rotator.plugins]", *lines, ""]))


def run_pytest(folder: Path) -> dict[str, dict[str, str]]:
    """What each test came to (`passed`, `failed`, `skipped`), by module and name."""
    report = folder / "report.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={folder}"]
    argv += ["--import-mode=importlib", "-p", "no:cacheprovider", f"--junitxml={report}", "tests"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    ended = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
    assert report.exists(), ended.stdout + ended.stderr
    results: dict[str, dict[str, str]] = defaultdict(dict)
    for case in ElementTree.parse(report).iter("testcase"):
        module = case.attrib["classname"].split(".")[1]
        results[module][case.attrib["name"]] = _result(case)
    return results


def _result(case: ElementTree.Element) -> str:
    if case.find("skipped") is not None:
        return "skipped"
    has_failed = case.find("failure") is not None or case.find("error") is not None
    return "failed" if has_failed else "passed"


def names_of(contract: type[object]) -> set[str]:
    return {name for name in dir(contract) if name.startswith("test_")}


def test_right_plugins_pass_with_the_tests_of_the_page(tmp_path: Path) -> None:
    """Followed to the letter, in a package of its own, with a pytest of its own."""
    shutil.copytree(ACME, tmp_path / "acme_rotator")
    entry_points(tmp_path, {"acme": "acme_rotator"})
    (tmp_path / "tests").mkdir()
    for kind, text in page_tests().items():
        (tmp_path / "tests" / f"test_{kind}.py").write_text(text)
    results = run_pytest(tmp_path)
    for contract in CONTRACTS:
        assert results[f"test_{contract.kind}"] == dict.fromkeys(names_of(contract), "passed")


@pytest.fixture(scope="module")
def wrong_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """All wrong plugins in one run of pytest, each in a package of its own."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "tests").mkdir()
    for number, toy in enumerate(WRONG_TOYS):
        write_wrong(folder, f"acme_{number}", toy)
    entry_points(folder, {f"acme_{number}": f"acme_{number}" for number in range(len(WRONG_TOYS))})
    return run_pytest(folder)


def write_wrong(folder: Path, package: str, toy: WrongToy) -> None:
    shutil.copytree(ACME, folder / package)
    for name, edits in ((toy.kind, toy.edits), ("service", toy.of_service)):
        path = folder / package / f"{name}.py"
        text = path.read_text()
        for right, wrong in edits:
            assert right in text, f"{toy.what}: {right}"
            text = text.replace(right, wrong)
        path.write_text(text)
    for path in (folder / package).iterdir():
        path.write_text(path.read_text().replace("acme_rotator", package))
    text = page_tests()[toy.kind].replace("acme_rotator", package)
    text = text.replace('return "acme"', f'return "{package}"')
    # What never comes is not waited for.
    text = text.replace("Contract):\n", "Contract):\n    patience = 0.3\n")
    (folder / "tests" / f"test_{package}.py").write_text(text)


@pytest.mark.parametrize("number", range(len(WRONG_TOYS)), ids=lambda n: WRONG_TOYS[n].what)
def test_a_wrong_behaviour_is_noticed(
    wrong_results: dict[str, dict[str, str]], number: int
) -> None:
    results = wrong_results[f"test_acme_{number}"]
    assert results[WRONG_TOYS[number].test] == "failed"
    assert "passed" in results.values(), "it is not simply broken"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.kind)
def test_each_test_of_a_contract_has_a_plugin_that_fails_it(contract: type[StoreContract]) -> None:
    tried = {toy.test for toy in WRONG_TOYS if toy.kind == contract.kind}
    assert tried == names_of(contract)


def test_what_the_page_says_of_a_failed_test_is_of_a_test_that_exists() -> None:
    named = set(re.findall(r"^\| `(test_\w+)` \|", PAGE.read_text(), re.M))
    assert named and named <= set().union(*map(names_of, CONTRACTS))


_WITHOUT_PYTEST = """
import importlib, pkgutil, sys
import rotator
sys.modules["pytest"] = None
for module in pkgutil.walk_packages(rotator.__path__, "rotator."):
    if not module.name.startswith(("rotator.testing", "rotator.__main__", "rotator.journal.migr")):
        importlib.import_module(module.name)
"""


def test_nothing_else_of_rotator_needs_pytest() -> None:
    """It is installed where plugins are tested, not where keys are rotated."""
    ended = subprocess.run([sys.executable, "-c", _WITHOUT_PYTEST], cwd=ROOT)
    assert ended.returncode == 0
