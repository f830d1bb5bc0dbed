"""The readers of .env files themselves: each reads many files in one process, and says what a
variable is.

`compose` and `docker` are read by their own Go packages (compose-go's `dotenv`, docker/cli's
`kvfile`), `systemd` by the function `load_env_file` of the library that is part of it,
python-dotenv and dotenv of Node.js by themselves, `bash` by sourcing. One that is not on this
machine says why.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.servers.tools import CACHE, apt, cached, go_build, may_install, run

_DOTENV = "16.6.1"
_COMPOSE, _COMPOSE_DOTENV = "1.29.2", "0.17.0"  # what its requirements.txt names
_COMPOSE_1 = """
import importlib.util, json, logging, sys, types
sys.path.insert(0, sys.argv[1])
logging.disable(logging.CRITICAL)
for name in ("compose", "compose.config"):  # but not what they import themselves
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
from compose.config.environment import env_vars_from_file
name, *paths = sys.stdin.read().split("\\n")
def read(path):
    try: return env_vars_from_file(path).get(name)
    except Exception: return None
print(json.dumps([read(path) for path in paths]))
"""
_NODE = """
const fs = require('fs'), dotenv = require(process.argv[1]);
const [name, ...paths] = fs.readFileSync(0, 'utf8').split('\\n');
console.log(JSON.stringify(paths.map(path => dotenv.parse(fs.readFileSync(path))[name] ?? null)));
"""
_BASH = """
read -r name
while read -r path; do unset "$name"; . "$path" >/dev/null 2>&1 </dev/null; printf '%s\\0' "${!name+x}${!name}"; done
"""


def python_dotenv(paths: Sequence[Path], name: str) -> list[str | None]:
    import logging

    from dotenv import dotenv_values

    logging.getLogger("dotenv").setLevel(logging.CRITICAL)
    return [dotenv_values(path).get(name) for path in paths]


def node_dotenv(paths: Sequence[Path], name: str) -> list[str | None]:
    told = "\n".join([name, *map(str, paths)])
    argv = ["node", "-e", _NODE, _node_module()]
    asked = subprocess.run(argv, input=told, capture_output=True, text=True, check=True)
    return list(json.loads(asked.stdout))


def _node_module() -> str:
    if may_install():
        apt("nodejs", "npm", tools=("node", "npm"))
    if shutil.which("node") is None or not (may_install() or any(CACHE.glob("dotenv-*/.complete"))):
        pytest.skip("dotenv of Node.js is not installed: python -m tests.servers dotenv install")
    return str(dotenv_of_node() / "node_modules" / "dotenv")


def dotenv_of_node() -> Path:
    """The package, by npm."""
    with cached("dotenv", _DOTENV) as (path, empty):
        if empty:
            run(["npm", "install", "--silent", "--no-audit", "--prefix", path, f"dotenv@{_DOTENV}"])
    return path


def bash(paths: Sequence[Path], name: str) -> list[str | None]:
    """Read as UTF-8, whatever the machine's language."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash")
    found: list[str | None] = []
    while len(found) < len(paths):
        found += _sourced(shell, paths[len(found) :], name)
        if len(found) < len(paths):
            found.append(None)  # `${X?}` and the like end the shell itself
    return found


def _sourced(shell: str, paths: Sequence[Path], name: str) -> list[str | None]:
    """What each gives, up to one that ends the shell."""
    told = "".join(f"{line}\n" for line in (name, *paths))
    env = {"PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}  # a line may be a command: there is none
    with tempfile.TemporaryDirectory() as empty:
        asked = subprocess.run(
            [shell, "-c", _BASH],
            input=told.encode(),
            capture_output=True,
            env=env,
            cwd=empty,
            start_new_session=True,
        )
    values = asked.stdout.decode(errors="surrogateescape").split("\0")[:-1]
    return [one[1:] if one else None for one in values]


def systemd(paths: Sequence[Path], name: str) -> list[str | None]:
    library = next(Path("/usr/lib").glob("*/systemd/libsystemd-shared-*.so"), None)
    library = library or next(Path("/usr/lib/systemd").glob("libsystemd-shared-*.so"), None)
    if library is None:
        pytest.skip("there is no systemd on this machine")
    load = ctypes.CDLL(str(library)).load_env_file
    load.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p)),
    ]

    def one(path: Path) -> str | None:
        held = ctypes.POINTER(ctypes.c_char_p)()
        if load(None, str(path).encode(), ctypes.byref(held)) < 0 or not held:
            return None
        found, at = None, 0
        while (entry := held[at]) is not None:
            key, _, value = entry.partition(b"=")
            found, at = (value if key == name.encode() else found), at + 1
        return None if found is None else found.decode(errors="surrogateescape")

    return [one(path) for path in paths]


def compose(paths: Sequence[Path], name: str) -> list[str | None]:
    return _by_go(paths, name, "compose")


def compose_1(paths: Sequence[Path], name: str) -> list[str | None]:
    """By docker-compose's own function for `env_file:` and `.env`, with the python-dotenv that its
    last release came with.
    """
    if not may_install() and not any(CACHE.glob("compose1-*/.complete")):
        pytest.skip("Compose 1 is not installed: python -m tests.servers compose1 install")
    told = "\n".join([name, *map(str, paths)])
    argv = [sys.executable, "-I", "-c", _COMPOSE_1, docker_compose()]
    asked = subprocess.run(argv, input=told, capture_output=True, text=True, check=True)
    return list(json.loads(asked.stdout))


def docker_compose() -> Path:
    """The packages, by pip, without what the rest of them would need."""
    with cached("compose1", f"{_COMPOSE}-{_COMPOSE_DOTENV}") as (path, empty):
        if empty:
            packages = [f"docker-compose=={_COMPOSE}", f"python-dotenv=={_COMPOSE_DOTENV}"]
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", path]
            run([*pip, *packages])
    return path


def docker(paths: Sequence[Path], name: str) -> list[str | None]:
    return _by_go(paths, name, "docker")


def _by_go(paths: Sequence[Path], name: str, parser: str) -> list[str | None]:
    if not may_install() and not any(CACHE.glob("envfiles-*/.complete")):
        pytest.skip(
            "the parsers of Compose and docker are not built: python -m tests.servers envfiles"
            " install"
        )
    argv = [envfiles(), parser, name]
    told = "\n".join(map(str, paths))
    return list(
        json.loads(
            subprocess.run(argv, input=told, capture_output=True, text=True, check=True).stdout
        )
    )


def envfiles() -> Path:
    """The parsers of Compose and of docker's command line as a program, built with Go."""
    return go_build("envfiles", "rotator.test/envfiles")


READERS: dict[str, Callable[[Sequence[Path], str], list[str | None]]] = {
    "docker": docker,
    "compose": compose,
    "compose-1": compose_1,
    "systemd": systemd,
    "python-dotenv": python_dotenv,
    "dotenv": node_dotenv,
    "bash": bash,
}
