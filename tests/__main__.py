"""All tests, in parts that run side by side (tests/shards.py), once what is generated is done: that
only computes.

python -m tests                  as `make test` does
python -m tests --coverage       with coverage, as CI does; tests.covered judges it

With ROTATOR_FULL, in CI, what they took is held against tests/budget.toml.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import budget, shards
from tests.servers import (
    bao,
    engine,
    kube,
    moto,
    postgres,
    prometheus,
    promtool,
    systemd,
    toxiproxy,
)
from tests.servers.tools import may_install

_ROOT = Path(__file__).parents[1]
_BUILD = _ROOT / "build" / "tests"
_NEEDED = {
    "Kubernetes": kube.Kube.install,
    "containers": engine.Engine.install,
    "systemd": systemd.Systemd.install,
    "OpenBao": bao.Bao.install,
    "AWS": moto.install,
    "bad wires": toxiproxy.Toxiproxy.install,
    "PostgreSQL": postgres.install,
    "alerts and dashboard": promtool.install,
    "Prometheus": prometheus.install,
}


@dataclass
class Shard:
    """One part: a pytest of its own, with its output, its report and its coverage in files."""

    name: str
    coverage: bool
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0
    took: float = 0.0

    def start(self) -> None:
        self.begun = time.monotonic()
        for file in (self.told, self.report, self.log):
            file.unlink(missing_ok=True)
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--shard",
            self.name,
            "--junitxml",
            str(self.report),
        ]
        if self.name == shards.TOGETHER:
            argv += ["-n", str(2 * (os.cpu_count() or 1)), "--dist", "loadfile"]
        environment = {**os.environ, "ROTATOR_TESTS_TOLD": str(self.told)}
        if (
            self.coverage and self.name not in shards.GENERATED
        ):  # there what is met by chance does not count
            argv += ["--cov=rotator", "--cov-branch", "--cov-report="]
            environment["COVERAGE_FILE"] = str(_ROOT / f".coverage.of-{self.name}")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                argv, cwd=_ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT
            )

    @property
    def told(self) -> Path:
        return _BUILD / f"{self.name}.told"

    @property
    def report(self) -> Path:
        return _BUILD / f"{self.name}.xml"

    @property
    def log(self) -> Path:
        return _BUILD / f"{self.name}.log"

    def ended(self) -> bool:
        over = self.process is not None and self.process.poll() is not None
        if over and not self.took:
            self.took = time.monotonic() - self.begun
        return over

    def progress(self) -> tuple[int, int]:
        """How many tests ended, of how many."""
        with contextlib.suppress(OSError):
            lines = self.told.read_text().splitlines()
            total = next((int(line[3:]) for line in lines if line.startswith("of ")), 0)
            return len({line for line in lines if line.startswith("ended ")}), total
        return 0, 0

    @property
    def failed(self) -> bool:
        return self.process is None or self.process.returncode not in (
            0,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        )


def main() -> int:
    coverage, full = "--coverage" in sys.argv, bool(os.environ.get("ROTATOR_FULL"))
    _BUILD.mkdir(parents=True, exist_ok=True)
    for line in _will_be_skipped():
        print(line, flush=True)
    names = shards.NAMES if full else (*shards.GENERATED, shards.TOGETHER)
    parts, begun = [Shard(name, coverage) for name in names], time.monotonic()
    generated = [part for part in parts if part.name in shards.GENERATED]
    for side_by_side in (generated, [part for part in parts if part not in generated]):
        for part in side_by_side:
            part.start()
        _follow(side_by_side)
    whole = time.monotonic() - begun
    seen = budget.Seen()
    for part in parts:
        if part.failed:
            print(f"\n--- {part.name} ---\n{_what_failed(part.log.read_text())}")
        if part.report.exists():
            seen.read(part.report)
    mistakes = []
    if full:
        allowed = budget.allowed()
        print(
            "\n".join(budget.table(seen, allowed, {part.name: part.took for part in parts}, whole))
        )
        mistakes = budget.mistakes(seen, allowed, whole)
    for reason, count in sorted(seen.skipped.items()):
        print(f"{count} skipped: {reason}")
    for mistake in mistakes:
        print(f"error: {mistake}")
    told = seen.outcomes
    print(
        f"{told['passed']} passed, {told['failed']} failed"
        + f", {told['skipped']} skipped" * bool(told["skipped"])
    )
    return int(any(part.failed for part in parts) or bool(mistakes))


def _will_be_skipped() -> list[str]:
    """What is not on this machine, and so not tested; nothing in CI, where everything
    is installed.
    """
    lines = []
    for name, install in _NEEDED.items() if not may_install() else ():
        try:
            install()
        except pytest.skip.Exception as skipped:
            lines.append(f"  {name}: {skipped.msg}")
    if not (may_install() or os.environ.get("ROTATOR_LONG")):
        lines.append(f"  the longest journeys of the command: each {shards.LONG}")
    return ["skipped here, and tested by CI:", *lines] if lines else []


def _follow(parts: list[Shard]) -> None:
    """Until all have ended: a line that is renewed on a terminal, else one a minute."""
    live, last = sys.stdout.isatty(), 0.0
    while not all(part.ended() for part in parts):
        if live or time.monotonic() - last > 60:
            last = time.monotonic()
            line = ", ".join(
                f"{part.name} {done} of {total}"
                for part in parts
                for done, total in [part.progress()]
            )
            print(f"\r{line}  " if live else line, end="" if live else "\n", flush=True)
        time.sleep(0.5)
    if live:
        print("\r" + " " * 100 + "\r", end="")


def _what_failed(log: str) -> str:
    """Of pytest's output what follows the dots; all of it where there is no such part."""
    found = re.search(r"^=+ (FAILURES|ERRORS) =+$", log, re.MULTILINE)
    return log[found.start() :] if found else log[-5000:]


if __name__ == "__main__":
    sys.exit(main())
