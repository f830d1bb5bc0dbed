"""docs/metrics.md: what to do stands beside each alert, and nothing else does."""

from __future__ import annotations

import re

import yaml

from rotator.daemon.families import FAMILIES, PREFIX
from tests.docs.generate import DOCS

PAGE = (DOCS / "metrics.md").read_text()
ALERTS = [
    rule["alert"]
    for group in yaml.safe_load((DOCS.parent / "deploy/prometheus/rules.yaml").read_text())[
        "groups"
    ]
    for rule in group["rules"]
]


def test_each_alert_has_its_part_of_the_page() -> None:
    """In the order of the rules, each with what to type or to look at."""
    parts = re.split(r"^### (\w+)$", PAGE.partition("\n## The alerts\n")[2], flags=re.M)[1:]
    assert parts[::2] == ALERTS
    assert all(re.search(r"`(rotat|/readyz)", text) for text in parts[1::2])


def test_each_metric_that_the_page_names_is_one() -> None:
    named = set(re.findall(rf"`({PREFIX}\w+)`", PAGE))
    assert named == {one.series for one in FAMILIES}
