"""The budget of the tests fails a run in which something took more, or killed less,
than it allows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import budget, shards

REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="one" time="2.5" />
<testcase classname="tests.acceptance.test_b" name="kills" time="60">
  <properties><property name="server" value="swarm" /><property name="kills" value="swarm: debt look 1, write 2" />
  </properties></testcase>
<testcase classname="tests.acceptance.test_b" name="fails" time="1">
  <properties><property name="server" value="swarm" /></properties><failure message="no" /></testcase>
<testcase classname="tests.contract.test_c" name="skips" time="0"><skipped message="Skipped: no server" /></testcase>
</testsuite></testsuites>"""
ALLOWED = {
    "all": {"seconds": 100},
    "ring": {"unit": 5, "acceptance": 90, "contract": 1},
    "server": {"swarm": 90},
    "kills": {"swarm": {"write": 2, "debt look": 1}},
}


@pytest.fixture
def seen(tmp_path: Path) -> budget.Seen:
    (tmp_path / "one.xml").write_text(REPORT)
    found = budget.Seen()
    found.read(tmp_path / "one.xml")
    return found


def test_what_the_reports_say(seen: budget.Seen) -> None:
    assert dict(seen.seconds) == {
        "ring unit": 2.5,
        "ring acceptance": 61,
        "ring contract": 0,
        "server swarm": 61,
    }
    assert dict(seen.outcomes) == {"passed": 2, "failed": 1, "skipped": 1} and seen.skipped == {
        "no server": 1
    }
    assert seen.kills["swarm"] == {"write": 2, "debt look": 1}


def test_within_the_budget(seen: budget.Seen) -> None:
    assert budget.mistakes(seen, ALLOWED, 99) == []


@pytest.mark.parametrize(
    ("change", "whole", "told"),
    [
        ({"ring": {"unit": 5, "acceptance": 60, "contract": 1}}, 99, "ring acceptance took 61 s"),
        (
            {"ring": {"unit": 5, "acceptance": 90}},
            99,
            "ring contract took 0 s, tests/budget.toml allows nothing",
        ),
        ({"server": {"swarm": 50}}, 99, "server swarm took 61 s, tests/budget.toml allows 50"),
        ({}, 101, "all seconds took 101 s"),
        (
            {"kills": {"swarm": {"write": 3}}},
            99,
            "swarm: killed 2 times at write, tests/budget.toml wants 3",
        ),
        ({"kills": {"docker": {"write": 1}}}, 99, "docker: killed 0 times at write"),
    ],
)
def test_what_outgrew_it_or_is_killed_less(
    seen: budget.Seen, change: dict[str, object], whole: float, told: str
) -> None:
    found = budget.mistakes(seen, {**ALLOWED, **change}, whole)
    assert len(found) == 1 and told in found[0], found


def test_each_part_of_the_run_is_one_that_a_test_can_be_in() -> None:
    assert {*shards._PART.values(), *shards.GENERATED, "rest"} == set(shards.NAMES)
