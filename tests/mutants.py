"""Mutants of the core: whatever small thing is changed in it must change a decision that is written
down.

python -m tests.mutants      makes and meets them all, and writes tests/mutants.json anew (`make mutants`)

The file is bound to a digest of the core, of the decisions and of what they stand on, as the proof
of the model is: while that is unchanged, meeting a part of the mutants again, and finding the same,
shows that the rest would be met, too. Which may survive, because they change nothing, is in
tests/unit/equivalent_mutants.txt, by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests import meaning

FILE = Path(__file__).with_name("mutants.json")
ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tests" / "unit" / "equivalent_mutants.txt"
_CORE = ROOT / "rotator" / "core"
_MADE = ROOT / "mutants"  # where mutmut puts them, and what became of each
_LOG = ROOT / "mutants.log"
_SURVIVED = 0  # the exit code of the tests that met it
_TESTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"][
    "pytest_add_cli_args_test_selection"
]
_STANDS_ON = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


@dataclass(frozen=True)
class Met:
    """What became of the mutants of one function: how many there are, and the names of those that
    survived.
    """

    made: int
    survived: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """The last time that all were met: of what (a digest), and what became of them, by function."""

    digest: str
    functions: dict[str, Met]

    @property
    def made(self) -> int:
        return sum(met.made for met in self.functions.values())

    @property
    def survived(self) -> list[str]:
        return survivors(self.functions)


def survivors(functions: dict[str, Met]) -> list[str]:
    """Their names, in order."""
    return sorted(name for met in functions.values() for name in met.survived)


def digest() -> str:
    """Of the core, of their tests with every module that these share, of the decisions as written,
    mutmut and Python.

    What the core takes from elsewhere are words (enumerations, records): another meaning of one is
    another decision.
    """
    names = [name.removesuffix(".py").replace("/", ".") for name in _TESTS]
    argv = [sys.executable, "-c", _STANDS_ON, *names]
    loaded = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {path for line in loaded.stdout.split() if (path := Path(line)).is_relative_to(ROOT)}
    kept = {
        path for path in ours if path.is_relative_to(_CORE) or path.is_relative_to(ROOT / "tests")
    }
    found = hashlib.sha256(f"{platform.python_version()} {version('mutmut')}".encode())
    for path in sorted(kept | {ROOT / "tests" / "unit" / "decisions.txt"}):
        found.update(f"\0{path.relative_to(ROOT)}\0".encode() + meaning.of(path))
    return found.hexdigest()


def kept() -> Kept:
    """The one in the file; an empty one where there is none."""
    if not FILE.exists():
        return Kept("", {})
    data = json.loads(FILE.read_text())
    return Kept(
        data["digest"],
        {name: Met(made, tuple(lived)) for name, (made, *lived) in data["functions"].items()},
    )


def equivalent() -> list[str]:
    """The names of those that may survive: they change nothing."""
    return EQUIVALENT.read_text().splitlines()


def sample(known: Kept, share: float, seed: int) -> list[str]:
    """Functions chosen at random that have at least this share of all mutants."""
    every, chosen, made = sorted(known.functions), [], 0
    random.Random(seed).shuffle(every)
    while made < share * known.made:
        chosen.append(every.pop())
        made += known.functions[chosen[-1]].made
    return chosen


def meet(functions: Sequence[str] = ()) -> dict[str, Met]:
    """The mutants of these functions, or of all, each met by the tests of what the core decides.

    Raises RuntimeError where mutmut does not get so far.
    """
    shutil.rmtree(_MADE, ignore_errors=True)
    with _LOG.open("w") as log:
        argv = [sys.executable, "-m", "mutmut", "run", *(f"{name}__mutmut_*" for name in functions)]
        environment = {
            name: value for name, value in os.environ.items() if name != "ROTATOR_TESTS_TOLD"
        }  # not theirs
        ended = subprocess.run(
            argv, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    codes = {
        name: code
        for file in _MADE.rglob("*.meta")
        for name, code in _codes(file).items()
        if code is not None
    }
    if ended.returncode or not codes:
        raise RuntimeError(f"mutmut ended with {ended.returncode}:\n{_LOG.read_text()[-3000:]}")
    made: dict[str, list[str]] = defaultdict(list)
    for name in codes:
        made[name.rpartition("__mutmut_")[0]].append(name)
    lived = {name for name, code in codes.items() if code == _SURVIVED}
    return {
        function: Met(len(names), tuple(sorted(lived & set(names))))
        for function, names in made.items()
    }


def _codes(file: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = json.loads(file.read_text())["exit_code_by_key"]
    return found


def main() -> int:
    begun = time.monotonic()
    found = Kept(digest(), meet())
    took = time.monotonic() - begun
    for name in sorted(set(found.survived) - set(equivalent())):
        print(f"survives: {name}  (python -m mutmut show {name})")
    for name in sorted(set(equivalent()) - set(found.survived)):
        print(f"is dead, or has another name now: {name}")
    print(f"{found.made} mutants, {len(found.survived)} survive, {took:.0f} s")
    if found.survived != equivalent():
        print(
            "error: decide each of them: a decision that was not written down, or"
            " equivalent_mutants.txt"
        )
        return 1
    functions = sorted(found.functions.items())
    lines = ",\n".join(
        f'  "{name}": {json.dumps([met.made, *met.survived])}' for name, met in functions
    )
    FILE.write_text(f'{{"digest": "{found.digest}", "functions": {{\n{lines}\n}}}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
