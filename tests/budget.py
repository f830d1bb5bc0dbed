"""What the rings and servers of a whole run took, and how often it killed at each act; and what may
be (budget.toml).

A ring that outgrows its share, or an act that is killed more seldom than it was, fails the run
(`.ci/run`).
"""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("budget.toml")


@dataclass
class Seen:
    """What the reports say of all parts together."""

    seconds: dict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # by ring, and by server
    tests: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    kills: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    skipped: Counter[str] = field(default_factory=Counter)

    def read(self, report: Path) -> None:
        for case in ET.parse(report).iter("testcase"):
            ring = case.get("classname", "").split(".")[1:2] or ["rest"]
            told = {one.get("name", ""): one.get("value", "") for one in case.iter("property")}
            for name in [f"ring {ring[0]}"] + (
                [f"server {told['server']}"] if told.get("server") else []
            ):
                self.tests[name] += 1
                self.seconds[name] += float(case.get("time", 0))
            problem = case.find("failure") is not None or case.find("error") is not None
            skip = case.find("skipped")
            self.outcomes["failed" if problem else "skipped" if skip is not None else "passed"] += 1
            if skip is not None:
                self.skipped[skip.get("message", "").removeprefix("Skipped: ")] += 1
            for world, acts in [told["kills"].split(": ", 1)] if "kills" in told else []:
                self.kills[world].update(
                    {act: int(n) for act, n in re.findall(r"([a-z][a-z ]*) (\d+)", acts)}
                )


def allowed() -> dict[str, Any]:
    """tests/budget.toml: seconds by ring and by server, of the whole run; kills by
    world and act.
    """
    return tomllib.loads(FILE.read_text())


def table(
    seen: Seen, budget: Mapping[str, Any], parts: Mapping[str, float], whole: float
) -> list[str]:
    """Lines: what everything took, beside what it may take."""
    lines = [f"{'':24}{'tests':>6}{'seconds':>9}{'allowed':>9}"]
    for name, seconds in sorted(seen.seconds.items()):
        kind, _, which = name.partition(" ")
        lines.append(
            f"{name:24}{seen.tests[name]:>6}{seconds:>9.0f}{budget[kind].get(which, '-'):>9}"
        )
    lines += [f"{'part ' + name:24}{'':6}{seconds:>9.0f}" for name, seconds in parts.items()]
    lines.append(f"{'all, side by side':24}{'':6}{whole:>9.0f}{budget['all']['seconds']:>9}")
    for world, acts in sorted(seen.kills.items()):
        lines.append(
            f"kills, {world}: " + ", ".join(f"{act} {count}" for act, count in sorted(acts.items()))
        )
    return lines


def mistakes(seen: Seen, budget: Mapping[str, Any], whole: float) -> list[str]:
    """Where something took more than it may, or an act of a world was killed more seldom than it
    must be.
    """
    found = []
    for name, seconds in [*sorted(seen.seconds.items()), ("all seconds", whole)]:
        kind, _, which = name.partition(" ")
        limit = budget[kind].get(which)
        if limit is None or seconds > limit:
            found.append(
                f"{name} took {seconds:.0f} s, tests/budget.toml allows"
                f" {limit or 'nothing: add it'}"
            )
    for world, wanted in budget["kills"].items():
        for act, count in wanted.items():
            if (killed := seen.kills[world][act]) < count:
                found.append(
                    f"{world}: killed {killed} times at {act}, tests/budget.toml wants {count}"
                )
    return found
