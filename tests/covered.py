"""What a run of the tests with coverage must have met: every branch of what must never be wrong,
most of the rest.

python -m pytest --cov=rotator --cov-branch --cov-report= …; python -m tests.covered
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from coverage import Coverage

WHOLE = ("rotator/core/", "rotator/engine/", "rotator/journal/", "rotator/audit/")
ELSEWHERE = 90.0  # per cent of lines and branches


def main() -> int:
    files = _files()
    left = {
        name: lines
        for name, found in files.items()
        if name.startswith(WHOLE) and (lines := _left(found))
    }
    for name, lines in sorted(left.items()):
        print(f"error: {name}: not met by any test: {lines}")
    rest = [found["summary"] for name, found in files.items() if not name.startswith(WHOLE)]
    met = sum(one["covered_lines"] + one["covered_branches"] for one in rest)
    share = 100 * met / sum(one["num_statements"] + one["num_branches"] for one in rest)
    whole = [found["summary"] for name, found in files.items() if name.startswith(WHOLE)]
    branches = sum(one["num_branches"] for one in whole)
    told = "not all" if left else "all"
    print(
        f"coverage: core, engine, journal, audit: {told} of {branches} branches; elsewhere"
        f" {share:.1f} %"
    )
    if share < ELSEWHERE:
        print(
            f"error: elsewhere {share:.1f} % of lines and branches are met, wanted are"
            f" {ELSEWHERE:.0f} %"
        )
    return int(bool(left) or share < ELSEWHERE)


def _files() -> dict[str, Any]:
    data = Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "coverage.json")
        data.json_report(outfile=str(out))
        found: dict[str, Any] = json.loads(out.read_text())["files"]
    return found


def _left(found: dict[str, Any]) -> str:
    lines = [str(line) for line in found["missing_lines"]]
    branches = [
        f"{start}->{'exit' if end < 0 else end}" for start, end in found["missing_branches"]
    ]
    return ", ".join([*lines, *branches])


if __name__ == "__main__":
    sys.exit(main())
