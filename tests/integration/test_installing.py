"""The way in: Debian 12's pip installs what the locks name, whatever the index offers; make says
what is wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rotator import installed
from tests.servers.index import Index, serving

ROOT = Path(__file__).parent.parent.parent
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))
PIP = "23.0.1"  # Debian 12's


def locked(name: str) -> list[Requirement]:
    """What a lock names, for this platform."""
    lines = re.findall(r"^([a-z].*?) \\$", (ROOT / name).read_text(), re.M)
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def wanted_by(one: Requirement) -> list[Requirement]:
    """What the installed distribution asks for, with the extras that the lock names."""
    asked = [Requirement(text) for text in metadata.requires(one.name) or []]
    extras = ["", *one.extras]
    return [
        need
        for need in asked
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras)
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_all_that_its_packages_ask_for_with_their_extras(lock: str) -> None:
    """Else a resolver goes to the index for it, and takes what has no hash here."""
    names = {canonicalize_name(one.name): one for one in locked(lock)}
    assert len(names) > (5 if lock == "requirements-build.lock" else 30)
    for one in names.values():
        for need in wanted_by(one):
            met = names.get(canonicalize_name(need.name))
            assert met is not None, f"{one} needs {need}"
            assert need.specifier.contains(
                str(met.specifier).removeprefix("=="), prereleases=True
            ), (one, need, met)
            assert need.extras <= met.extras, f"{one} needs {need}, {lock} has {met}"


def test_what_is_locked_twice_is_locked_the_same() -> None:
    everything = {one.name: str(one.specifier) for one in locked("requirements.lock")}
    for lock in LOCKS:
        assert {
            one.name: str(one.specifier) for one in locked(lock)
        }.items() <= everything.items(), lock


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with serving(tmp_path / "index") as found:
        yield found


@pytest.fixture(scope="session")
def old_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of pip 23.0.1: the one that Debian ships, or from the package index."""
    debian = Path(f"/usr/share/python-wheels/pip-{PIP}-py3-none-any.whl")
    if debian.exists():
        return debian
    folder = tmp_path_factory.mktemp("pip")
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--timeout",
        "20",
        "-d",
        folder,
        f"pip=={PIP}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        reason = f"there is no pip {PIP} here: {done.stderr.strip().splitlines()[-1]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return next(folder.glob("pip-*.whl"))


@pytest.fixture(scope="session")
def old_python() -> str:
    """pip 23.0.1 runs on Python up to 3.11."""
    python = sys.executable if sys.version_info < (3, 12) else shutil.which("python3.11")
    return python or pytest.skip(f"pip {PIP} needs Python 3.11")


def copy_of(lock: str, index: Index, to: Path) -> dict[str, str]:
    """The lock with the hashes of wheels without code that ask for the same; the index has a newer
    one of each, too.
    """
    versions, lines = {}, []
    for one in locked(lock):
        version = str(one.specifier).removeprefix("==")
        told = metadata.metadata(one.name)
        needs, extras = metadata.requires(one.name) or [], told.get_all("Provides-Extra") or []
        lines.append(f"{one} --hash={index.add(one.name, version, needs, extras)}\n")
        index.add(one.name, "9999.9", needs, extras)
        versions[canonicalize_name(one.name)] = version
    to.write_text("".join(lines))
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_debians_pip_installs_a_lock_from_an_index_that_is_newer(
    lock: str, index: Index, old_pip: Path, old_python: str, tmp_path: Path
) -> None:
    """Exactly what the lock names, as make and the image do; and it would resolve to just that,
    extras and all.
    """
    versions = copy_of(lock, index, tmp_path / lock)
    subprocess.run([old_python, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    # An empty PIP_CONFIG_FILE: this machine's settings do not count.
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(old_pip), "PIP_CONFIG_FILE": os.devnull}

    def pip(*arguments: str) -> str:
        argv = [tmp_path / "env/bin/python", "-m", "pip", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert f"pip {PIP} " in pip("--version")
    install = (
        "install",
        "-q",
        "--no-cache-dir",
        "-i",
        index.url,
        "--require-hashes",
        "-r",
        str(tmp_path / lock),
    )
    pip(*install, "--dry-run")
    pip(*install, "--no-deps", "--no-compile")
    frozen = dict(line.split("==") for line in pip("freeze").splitlines())
    assert {canonicalize_name(name): version for name, version in frozen.items()} == versions
    assert "No broken requirements" in pip("check")


@pytest.mark.parametrize("place", ["Dockerfile"])
def test_whoever_installs_a_lock_installs_it_alone(place: str) -> None:
    """Without --no-deps pip may go to the index for more, and then refuses it for want
    of a hash.
    """
    lines = [
        line
        for line in (ROOT / place).read_text().splitlines()
        if re.search(r"-r \S*requirements", line)
    ]
    assert lines and all("--no-deps --require-hashes" in line for line in lines)


class Checkout:
    """As much of a fresh clone as `make` needs to set itself up, with a lock of one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        for name in ("Makefile", "pyproject.toml", ".ci/environment.py"):
            shutil.copy(ROOT / name, folder / name)

    def make(self, *arguments: str, lock: str = "", **environment: str) -> str:
        """What `make` says when it fails."""
        (self.folder / "requirements-demo.lock").write_text(lock)
        env = {
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0",
            **environment,
        }
        argv = ["make", f"PYTHON={sys.executable}", *arguments, ".venv/runs"]
        done = subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
        assert not (self.folder / ".venv/runs").exists(), (
            "what failed is done again by the next make"
        )
        return done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


HASH = "sha256:" + "0" * 64


def test_make_says_that_there_is_no_python(checkout: Checkout) -> None:
    said = checkout.make("PYTHON=")
    assert (
        "error: there is no Python 3.11" in said and "hint: install it (Debian: apt install" in said
    )


def test_make_says_that_python_comes_without_venv(tmp_path: Path) -> None:
    """As Debian's python3 without python3-venv, in its words."""
    words = (
        "The virtual environment was not created successfully because ensurepip is not\navailable."
    )
    (tmp_path / "venv.py").write_text(f"import sys\nprint({words!r})\nsys.exit(1)\n")
    (tmp_path / "checkout").mkdir()
    said = Checkout(tmp_path / "checkout").make(PYTHONPATH=str(tmp_path))
    assert "error: the virtual environment could not be made:\n  The virtual" in said
    assert "hint: this Python comes without venv or pip; Debian and Ubuntu keep them apart" in said


def test_make_says_that_the_index_is_not_reached(checkout: Checkout) -> None:
    said = checkout.make(
        lock=f"thing==1.0 --hash={HASH}\n", PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="1"
    )
    assert "pip says:" in said and "No matching distribution found for thing==1.0" in said
    assert "hint: pip does not reach the index" in said and "PIP_INDEX_URL" in said


def test_make_says_that_the_index_gave_another_file(checkout: Checkout, index: Index) -> None:
    index.add("thing", "1.0")
    said = checkout.make(lock=f"thing==1.0 --hash={HASH}\n", PIP_INDEX_URL=index.url)
    assert "hint: the index gave another file than the lock names" in said
    assert "Got        " in said and "reach" not in said, (
        "pip's own words, and no blame for the network"
    )


def test_make_says_that_the_index_has_no_such_version(checkout: Checkout, index: Index) -> None:
    index.add("thing", "1.0")
    said = checkout.make(lock=f"thing==2.0 --hash={HASH}\n", PIP_INDEX_URL=index.url)
    assert "(from versions: 1.0)" in said and "hint: the index has other versions of it" in said
    said = checkout.make(lock=f"other==2.0 --hash={HASH}\n", PIP_INDEX_URL=index.url)
    assert "(from versions: none)" in said and "hint: the index has no such package" in said


def test_make_leaves_what_it_does_not_know_to_pips_own_words(
    checkout: Checkout, index: Index
) -> None:
    index.add("thing", "1.0")
    said = checkout.make(lock="thing==1.0\n", PIP_INDEX_URL=index.url)
    assert "Hashes are required in --require-hashes mode" in said and "hint:" not in said


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    argv = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        ROOT,
    ]
    subprocess.run(argv, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def test_examples_and_deploy_files_are_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert wheel.name.startswith("rotatord-")
    for folder in ("playbooks", "deploy"):
        for path in (ROOT / folder).rglob("*"):
            assert path.is_dir() or f"rotator/share/{path.relative_to(ROOT)}" in names
    assert "rotator/integrations/catalog/entries/openai.yaml" in names
    assert not [name for name in names if "tests" in name]


def test_what_is_installed_from_the_wheel_says_where_its_examples_are(
    wheel: Path, tmp_path: Path
) -> None:
    """`rotator plugins` names directories that are there, and the examples load."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    site = next((tmp_path / "env/lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    # Its dependencies are this environment's, behind its own packages.
    (site / "dependencies.pth").write_text(
        next(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    argv = [tmp_path / "env/bin/python", "-m", "rotator", "plugins"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    places = {
        "examples of playbooks:": "openai-prod.yaml",
        "files of providers:": "openai.yaml",
        "units and manifests:": "systemd/rotator.timer",
    }
    for title, file in places.items():
        folder = Path(re.search(rf"^{title} +(.*)$", said, re.M)[1])  # type: ignore[index]
        assert folder.is_relative_to(site) and (folder / file).is_file()


NAMED = re.compile(r"pip3? install[^\n`]*[\s'\"]rotator(?![a-z])|\brotator\[")


def test_nobody_is_sent_to_the_stranger_who_has_the_name_rotator() -> None:
    """`pip install rotator` gets another program, with the same command."""
    assert NAMED.search("pip install rotator") and NAMED.search("see `rotator[aws]`")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name] or [
        path
        for folder in ("rotator", "docs", "playbooks", "deploy")
        for path in (ROOT / folder).rglob("*")
    ]
    found = [
        f"{path.relative_to(ROOT)}: {hit[0]}"
        for path in paths
        if path.is_file() and path != Path(__file__)
        for hit in NAMED.finditer(path.read_text(errors="replace"))
    ]
    assert not found


def test_a_missing_extra_is_told_with_a_command_for_this_environment() -> None:
    """It works from a wheel, a checkout or an index alike: it asks for the packages, not for us."""
    told = installed.way_to("aws")
    assert told.startswith(f"{sys.executable} -m pip install 'boto3")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert declared["name"] == installed.DISTRIBUTION
    for extra in declared["optional-dependencies"]:
        assert " -m pip install '" in installed.way_to(extra)


def test_a_missing_extra_is_named_where_rotator_runs_from_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "DISTRIBUTION", "rotatord-not-installed")
    assert installed.way_to("aws") == "install rotatord-not-installed with its extra 'aws'"
