"""Keys that serve side by side: one playbook for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotator.setup import composed, recognised
from rotator.setup.composed import Draft


def pooled(drafts: Sequence[Draft]) -> list[Draft]:
    """With one in place of those whose keys are a pool: NAME, NAME_1, NAME_2 … of one place, which
    are read alike.
    """
    pools: dict[object, list[Draft]] = {}
    for draft in drafts:
        pools.setdefault(_pool_of(draft) or draft.name, []).append(draft)
    return [
        replace(
            members[0],
            holdings=tuple(one.holdings[0] for one in members),
            pool=tuple(members),
        )
        if len(members) > 1
        else members[0]
        for members in pools.values()
    ]


def _pool_of(draft: Draft) -> object:
    """What those of one pool have in common; None for a key that is of none."""
    holding = draft.holdings[0]
    if draft.keys or len(draft.holdings) > 1 or holding.source.whole or holding.value is None:
        return None
    users = [composed.as_member(user, holding.name) for user in holding.users]
    said = (repr(draft.settings), draft.missing, repr(users))
    return (draft.provider, recognised.pool_of(holding.name), holding.source.shown, said)
