"""What keeps a consumer from running with the new key: which instance it is, and whose key it
shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rotator.core.plan import Key
from rotator.model import Change, Instance, Progress
from rotator.secret import Secret

_TOLD = 3  # instances that are told one by one

Whose = Callable[[Secret], Key | None]


def of(name: str, progress: Progress, change: Change, old: Key | None, whose: Whose) -> str:
    """In words. `whose`: the key with a value, None where the journal does not know it."""
    head = name if progress.total == 1 else f"{name} {progress.current}/{progress.total}"
    shown = [
        (one, one.holds)
        for one in progress.instances
        if one.holds is not None and not change.fits(one.holds)
    ]
    if progress.total == 1 and progress.text and len(shown) == 1:
        return f"{head}: {progress.text}: {_of_whom(shown[0][1], old, whose)}"
    told = [f"{one.name} shows {_of_whom(holds, old, whose)}" for one, holds in shown]
    if not progress.text:
        told += _not_restarted(progress.instances, change)
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    words = "; ".join([*([progress.text] if progress.text else []), *told[:_TOLD], *more])
    return f"{head}: {words}" if words else f"{name} {progress.current}/{progress.total}"


def _of_whom(shown: Secret, old: Key | None, whose: Whose) -> str:
    key = whose(shown)
    if key is None:
        return "a key that this journal does not know"
    hint = f" ({key.hint})" if key.id and len(key.hint) > 1 else ""
    return f"{'the old key' if key.same(old) else 'the key'} {key}{hint}"


def _not_restarted(instances: tuple[Instance, ...], change: Change) -> Iterator[str]:
    for one in instances:
        if one.holds is None and one.started_at is not None and one.started_at <= change.since:
            yield f"{one.name} has run since before the change"
