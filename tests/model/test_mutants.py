"""What the core decides is written down so closely that a small change of it is seen: mutants of
it, met again.
"""

from __future__ import annotations

import os
import time

import pytest

from tests import mutants

SHARE = 0.03  # of all mutants, when nothing has changed since all were met


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not os.environ.get("ROTATOR_FULL"), reason="mutants: ROTATOR_FULL=1, as in CI")
def test_no_mutant_survives_that_changes_a_decision() -> None:
    """All of them where core or decisions are others than when all were met; else those of some
    functions.
    """
    known, seed = mutants.kept(), int(os.environ.get("ROTATOR_FIRST_SEED") or time.time())
    stands = known.digest == mutants.digest()
    chosen = mutants.sample(known, SHARE, seed) if stands else ()
    met = mutants.meet(chosen)
    print(
        f"{sum(one.made for one in met.values())} mutants, {'a sample' if stands else 'all'},"
        f" chosen by seed {seed}"
    )
    assert not set(mutants.survivors(met)) - set(mutants.equivalent())
    if stands:
        assert met == {name: known.functions[name] for name in chosen}, (
            "others than when all were met"
        )


def test_the_mutants_that_survived_are_those_that_change_nothing() -> None:
    assert mutants.kept().survived == mutants.equivalent()
