"""Is what a lost create left worthless? Its answer was lost, so nobody has its value, unless the
journal is older than the world (a restored backup): then it may be the key in production, and
destroying it would be the outage.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core.action import Recovered
from rotator.core.plan import Key

RESTORED = "was the journal restored from a backup?"


@dataclass(frozen=True, slots=True)
class Strange:
    """A store that holds a value which the journal never saw.

    `may_be`: which of the keys that were found.
    """

    store: str
    fingerprint: str
    may_be: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """What is known when the provider shows keys that a lost create may have left."""

    left: tuple[Key, ...]  # by the label, or by difference
    ambiguous: str = ""  # by difference: why it is not certain which one
    later: tuple[Key, ...] = ()  # made by later attempts of this rotation than the journal knows
    strange: tuple[Strange, ...] = ()
    blind: tuple[str, ...] = ()  # stores that were written since preflight and cannot be read
    shown: frozenset[str] = (
        frozenset()
    )  # fingerprints that running instances show and the journal never saw
    used: tuple[Key, ...] = ()  # of `left`: used by somebody
    hidden: tuple[Key, ...] = ()  # in force, and not in the list
    candidates: tuple[Key, ...] = ()  # `left`; where that is not certain, all that appeared


def what_it_left(lost: Lost) -> Recovered:
    """Keys to discard; or the one that is in force already, as this rotation's new key; or why a
    person must look.
    """
    if lost.later:
        return _ask(f"{_names(lost.later)} bears a later attempt than this journal knows")
    if lost.left or lost.ambiguous:
        if lost.blind:
            return _ask(
                f"{', '.join(lost.blind)} was written since and cannot be read, so it may hold what"
                " was made"
            )
        if lost.strange or lost.shown:
            return _in_force(lost)
        if lost.used:
            return _ask(
                f"{_names(lost.used)} is being used, though the answer to its create was lost"
            )
    if lost.left and lost.hidden:
        why = (
            f"the provider's list does not show {_names(lost.hidden)}, which is in force: is it the"
            " right list?"
        )
        return Recovered(ambiguous=why)
    return Recovered(lost.left, ambiguous=lost.ambiguous)


def _in_force(lost: Lost) -> Recovered:
    prints = {one.fingerprint for one in lost.strange}
    keys = {key.id: key for one in lost.strange for key in one.may_be}
    everywhere = all(len(one.may_be) == 1 for one in lost.strange)
    if len(prints) == 1 and len(keys) == 1 and everywhere and lost.shown <= prints:
        found = next(iter(keys.values()))
        beside = tuple(key for key in lost.candidates if key.id != found.id)
        return Recovered(reread=Key(found.id, next(iter(prints)), found.hint), beside=beside)
    who = ", ".join(one.store for one in lost.strange) or "a running instance"
    return _ask(f"{who} holds a key that this journal does not know")


def _ask(why: str) -> Recovered:
    return Recovered(ambiguous=f"{why}; {RESTORED}")


def _names(keys: tuple[Key, ...]) -> str:
    return ", ".join(str(key) for key in keys)
