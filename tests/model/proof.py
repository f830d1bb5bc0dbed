"""The last walk of every configuration, kept beside the code: for each the number of its states,
and a hash of all.

python -m tests.model.proof      walks them all, and writes the file anew (`make prove`)

The file is bound to a digest of all modules of this project that the walk stands on, the model's
own included, and to Python's version: while that is unchanged, walking a part of the configurations
again, whole, and finding the same states, shows that the walk is the same.
"""

from __future__ import annotations

import hashlib
import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tests import meaning
from tests.model.configs import configs
from tests.model.explore import explore
from tests.model.world import Broken, Config, World

FILE = Path(__file__).with_name("proof.json")
_ROOT = Path(__file__).parents[2]
_STANDS_ON = """
import sys, tests.model.proof
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


@dataclass(frozen=True)
class Walk:
    """What walking one configuration came to."""

    states: int
    hash: str


@dataclass(frozen=True)
class Proof:
    """The last walk of all: of what (a digest), and what it came to, by the
    configuration's name.
    """

    digest: str
    walks: dict[str, Walk]

    @property
    def states(self) -> int:
        return sum(walk.states for walk in self.walks.values())


def digest() -> str:
    """Of every module of ours that the walk loads, as Python reads it, and of Python's version."""
    loaded = subprocess.run(
        [sys.executable, "-c", _STANDS_ON], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    ours = sorted(
        path
        for line in loaded.stdout.split()
        if (path := Path(line)).is_relative_to(_ROOT / "rotator")
    )
    ours += sorted(
        path
        for line in loaded.stdout.split()
        if (path := Path(line)).is_relative_to(_ROOT / "tests")
    )
    found = hashlib.sha256(platform.python_version().encode())
    for path in ours:
        found.update(f"\0{path.relative_to(_ROOT)}\0".encode() + meaning.of(path))
    return found.hexdigest()


def name(config: Config) -> str:
    """What distinguishes it from the usual one."""
    usual = Config()
    told = {field.name: getattr(config, field.name) for field in fields(config)}
    return (
        " ".join(f"{key}={value}" for key, value in told.items() if value != getattr(usual, key))
        or "usual"
    )


def walk(config: Config) -> Walk:
    """Every state of it, and what was judged of each. Raises Broken."""
    texts = _Texts()
    seen: list[bytes] = []

    def note(world: World, judged: Sequence[str]) -> None:
        seen.append(
            hashlib.blake2b(f"{texts.of(world)} {judged}".encode(), digest_size=16).digest()
        )

    states = explore(config, note=note)
    return Walk(states, hashlib.sha256(b"".join(sorted(seen))).hexdigest()[:32])


class _Texts:
    """The text of a state, the same in each process: sets in order, every field of every part."""

    def __init__(self) -> None:
        self._known: dict[Any, str] = {}

    def of(self, value: Any) -> str:
        if isinstance(value, str | int | float | bool | None) and not isinstance(value, Enum):
            return repr(value)
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = self._made(value)
        return known

    def _made(self, value: Any) -> str:
        if isinstance(value, Enum):
            return f"{type(value).__name__}.{value.name}"
        if isinstance(value, frozenset):
            return f"{{{' '.join(sorted(map(self.of, value)))}}}"
        if is_dataclass(value):
            parts = " ".join(self.of(getattr(value, field.name)) for field in fields(value))
            return f"{type(value).__name__}({parts})"
        if isinstance(value, tuple):
            return f"{type(value).__name__}({' '.join(map(self.of, value))})"
        raise TypeError(f"a state holds a {type(value).__name__}")


def walks(chosen: Iterable[Config]) -> dict[str, Walk]:
    """Each of them walked whole, the processors sharing them.

    Raises Broken, once all were walked.
    """
    with ProcessPoolExecutor() as pool:  # each configuration is a world of its own
        begun = {name(config): pool.submit(walk, config) for config in chosen}
    if broken := [str(error) for future in begun.values() if (error := future.exception())]:
        raise Broken(f"{len(broken)} of {len(begun)} configurations:\n" + "\n\n".join(broken[:5]))
    return {key: future.result() for key, future in begun.items()}


def kept() -> Proof:
    """The one in the file; an empty one where there is none."""
    if not FILE.exists():
        return Proof("", {})
    data = json.loads(FILE.read_text())
    return Proof(data["digest"], {key: Walk(*found) for key, found in data["walks"].items()})


def sample(proof: Proof, share: float, seed: int) -> list[Config]:
    """Configurations chosen at random that have at least this share of all states."""
    every, chosen, states = configs(), [], 0
    random.Random(seed).shuffle(every)
    while states < share * proof.states:
        chosen.append(every.pop())
        states += proof.walks[name(chosen[-1])].states
    return chosen


def differing(proof: Proof, walked: dict[str, Walk]) -> list[str]:
    """The configurations whose walk came to something else than the proof's."""
    return [key for key, found in walked.items() if proof.walks.get(key) != found]


def main() -> None:
    begun = time.monotonic()
    proof = Proof(digest(), walks(configs()))
    lines = ",\n".join(
        f'  "{key}": [{one.states}, "{one.hash}"]' for key, one in sorted(proof.walks.items())
    )
    FILE.write_text(f'{{"digest": "{proof.digest}", "walks": {{\n{lines}\n}}}}\n')
    took = time.monotonic() - begun
    print(
        f"model: {proof.states} states in {len(proof.walks)} configurations, no broken promise,"
        f" {took:.0f} s"
    )


if __name__ == "__main__":
    main()
