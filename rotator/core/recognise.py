"""Is the key that a create answered the one that the provider shows? By its id and what stands
beside it, never by one of them alone: a key is destroyed by its id, so an id that means another key
would one day destroy that one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from rotator.core.action import Recognised
from rotator.core.plan import Key
from rotator.model import KeyRecord, Label


def by_label(
    inventory: Iterable[KeyRecord],
    new: Key,
    label: Label,
    before: Collection[str],
    fits: Callable[[KeyRecord], bool],
) -> Recognised:
    """In a list that shows labels: its own id *and* our label, a hint that fits its value, and not
    there before: neither in the list before the create nor as the id of another key that the
    journal knows.

    `fits` says whether a record can be of the new value, by its hint.
    """
    records = list(inventory)
    mine = [record for record in records if new.id and record.id == new.id]
    labelled = [record for record in records if record.label == label.text]
    bears = " and ".join(record.id for record in labelled)
    if len(labelled) > 1:
        return Recognised(
            problem=f"{bears} bear our label",
            hint="does the provider make two keys for one request?",
        )
    if new.id and new.id in before:
        problem = f"the create answered the id {new.id}, which another key had before it"
        return Recognised(problem=problem + _instead(bears, new), hint=_ANSWER)
    if labelled and not mine:
        answered = f"the id {new.id}" if new.id else "no id"
        return Recognised(
            problem=f"the create answered {answered}" + _instead(bears, new), hint=_ANSWER
        )
    if not mine:
        return Recognised()
    if not labelled:
        problem = f"the list shows {new.id} without our label, as '{mine[0].label}'"
        return Recognised(problem=problem, hint=_LABEL)
    if not fits(mine[0]):
        return Recognised(
            problem=f"the list shows {new.id} as {mine[0].hint}, which is not its value", hint=_HINT
        )
    return Recognised(shown=True)


def by_difference(inventory: Iterable[KeyRecord], new: Key, before: Collection[str]) -> Recognised:
    """In a list without labels: its own id, not among the ids before the create."""
    if not new.id or new.id in before:
        answered = f"the id {new.id}, which another key had before it" if new.id else "no id"
        return Recognised(problem=f"the create answered {answered}", hint=_ANSWER)
    return Recognised(shown=any(record.id == new.id for record in inventory))


def in_slot(slot: str | None, new: Key, before: Collection[str]) -> Recognised:
    """What its slot holds now (a fingerprint): the new key, which is another than before."""
    if new.fingerprint in before:
        return Recognised(problem="the slot holds the key that it held before")
    if slot is not None and slot != new.fingerprint:
        return Recognised(problem="the slot holds another key than the create answered")
    return Recognised(shown=slot is not None)


_ANSWER = (
    "look at `answer.id` of the create and `each.id` of the list in the provider's catalog file (or"
    " program)"
)
_LABEL = (
    "look at the label in the request of the create, and at `each.label` of the list, in the"
    " catalog file"
)
_HINT = "look at `answer.secret` of the create and `each.hint` of the list in the catalog file"


def _instead(bears: str, new: Key) -> str:
    return f", and the list shows {bears} with our label" if bears and bears != new.id else ""
