"""The image that the Dockerfile makes, without a registry and a package index: from a Debian by
debootstrap, and wheels by the locks. What is not of this checkout is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.servers.engine import Engine, compose_2
from tests.servers.tools import CACHE, ENV, HERE, apt, cached, digest, may_install, run, say

IMAGE = "rotator:0.1.0"
WITH_DOCKER = "rotator-docker:0.1.0"
_BASE, _CLI, _STAGE = "rotator-base:bookworm", "rotator-docker-cli:test", "rotator-build:0.1.0"
_CHECKOUT = HERE.parents[1]
_LOCKS = ("requirements-all.lock", "requirements-build.lock")
_MADE_OF = (
    "Dockerfile",
    ".dockerignore",
    *_LOCKS,
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "rotator",
    "playbooks",
    "deploy",
)
_PACKAGES = "python3,python3-venv,ca-certificates,openssh-client,tini"
_OFFLINE = ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=/src/wheels")
_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def install() -> None:
    """What an image is made of, which is not of this checkout."""
    if not may_install():  # minutes, and root: `make test` is for Python alone
        pytest.skip("the image is built here, as root: CI=1 make test")
    _base()
    _wheels()


def archive(name: str = IMAGE) -> Path:
    """A docker-archive of IMAGE or WITH_DOCKER, built of this checkout."""
    install()
    Engine.install()
    files = [path for name in _MADE_OF for path in _files(_CHECKOUT / name)]
    names = [str(path.relative_to(_CHECKOUT)) for path in files]
    builder = CACHE / f"builder-{digest(_base(), *(_CHECKOUT / lock for lock in _LOCKS))}"
    with cached("image", digest(builder.name, *names, *files)) as (path, fill):
        if fill:
            _forget_old("image", path)
            _forget_old("builder", builder)
            _build(builder, path)
    return path / _file_of(name)


def _forget_old(name: str, kept: Path) -> None:
    """All but this one and the newest other: another checkout may be using that."""
    others = {one for one in CACHE.glob(f"{name}-*") if one != kept}
    for old in sorted(others, key=lambda one: one.stat().st_mtime)[:-1]:
        shutil.rmtree(old)


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [one for one in found if one.is_file() and "__pycache__" not in one.parts]


def _file_of(name: str) -> str:
    return f"{name.partition(':')[0]}.tar"


def _build(builder: Path, to: Path) -> None:
    """By an engine whose layers are kept: what is of the locks is not installed again."""
    with tempfile.TemporaryDirectory(prefix="rotator-image-") as folder:
        context = Path(folder) / "context"
        for name in _MADE_OF:
            _copied(_CHECKOUT / name, context / name)
        _copied(_wheels(), context / "wheels")
        (builder / "own-pid").unlink(missing_ok=True)
        with Engine(builder) as engine:
            there = engine.cli("images", "--format", "{{.Repository}}:{{.Tag}}").split()
            if _BASE not in there:
                engine.cli("import", "-c", _PATH, str(_base()), _BASE)
            if _CLI not in there:
                engine.cli("import", str(_docker_cli(Path(folder))), _CLI)
            for name, target in ((_STAGE, "build"), (IMAGE, "rotator"), (WITH_DOCKER, "docker")):
                say(f"docker build --target {target}")
                engine.cli(*_build_command(name, target), str(context), env=_CLASSIC)
            engine.cli("image", "prune", "--force")
            for name in (IMAGE, WITH_DOCKER):
                engine.cli("save", "-o", str(to / _file_of(name)), name)


_CLASSIC = {**ENV, "DOCKER_BUILDKIT": "0"}


def _build_command(name: str, target: str) -> list[str]:
    arguments = [f"BASE={_BASE}", f"DOCKER_CLI={_CLI}", *_OFFLINE]
    build = [word for one in arguments for word in ("--build-arg", one)]
    return ["build", "--quiet", "--network", "none", "--target", target, "-t", name, *build]


def _copied(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", ".complete"))
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)


def _base() -> Path:
    """An archive of Debian 12's root, with what the Dockerfile would fetch for it."""
    apt("debootstrap", tools=["debootstrap"])
    with cached("debian", digest("bookworm", _PACKAGES)) as (path, fill):
        if fill:
            say("debootstrap bookworm ...")
            root = path / "root"
            options = ["--variant=minbase", f"--include={_PACKAGES}"]
            run(["debootstrap", *options, "bookworm", root, "http://deb.debian.org/debian"])
            for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
                shutil.rmtree(root / folder)
            run(["tar", "-C", root, "--numeric-owner", "-cf", path / "base.tar", "."])
            shutil.rmtree(root)
    return path / "base.tar"


def _wheels() -> Path:
    """A folder with what the locks name, for Debian 12's Python 3.11."""
    locks = [_CHECKOUT / name for name in _LOCKS]
    with cached("wheels", digest(*locks)) as (path, fill):
        if fill:
            say("pip download of what the image's locks name ...")
            wanted = [word for lock in locks for word in ("-r", str(lock))]
            platforms = [
                word
                for one in ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
                for word in ("--platform", f"{one}_{os.uname().machine}")
            ]
            options = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
            options += ["--no-deps", "--require-hashes", *platforms]
            run([sys.executable, "-m", "pip", "download", "-q", *options, *wanted, "-d", path])
    return path


def _docker_cli(folder: Path) -> Path:
    """An archive with the programs at the places where the image `docker:cli` has them."""
    root = folder / "cli" / "usr" / "local"
    plugins = root / "libexec" / "docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (root / "bin").mkdir()
    shutil.copy("/usr/bin/docker", root / "bin" / "docker")
    shutil.copy(compose_2(), plugins / "docker-compose")
    archive = folder / "cli.tar"
    subprocess.run(["tar", "-C", folder / "cli", "-cf", archive, "."], check=True)
    return archive
