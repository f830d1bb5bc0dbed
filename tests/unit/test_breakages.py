"""What `make breakages` breaks can be broken: each stands in the code, once, and names tests that
exist.
"""

from __future__ import annotations

import ast

import pytest

from tests.breakages import BREAKAGES, ROOT, Breakage


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.name)
def test_it_can_be_made(breakage: Breakage) -> None:
    ast.parse(breakage.made(ROOT))
    assert all((ROOT / name).exists() for name in breakage.tests)
