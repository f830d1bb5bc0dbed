"""python -m tests.bench [CASE...]: runs the cases one after the other, each in a process of its
own, and prints lines.

A line: what, its median, a ratio to what it is held against (measured in the same run), the aim.
The last one of a case is the most memory that its process ever had.
"""

from __future__ import annotations

import subprocess
import sys

from rotator.cli.entry import spare_the_collector
from tests.bench import cases


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        spare_the_collector()  # as the commands and the daemon do
        cases.CASES[sys.argv[2]]()
        print(f"  {'peak memory':<58} {cases.peak():.0f} MiB")
        return
    for name in sys.argv[1:] or cases.CASES:
        print(f"{name}: {(cases.CASES[name].__doc__ or '').splitlines()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "tests.bench", "--one", name], check=True)


if __name__ == "__main__":
    main()
