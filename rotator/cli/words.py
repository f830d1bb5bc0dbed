"""Moments, keys and old keys in words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rotator.cli import console
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.plan import Key
from rotator.counting import span

if TYPE_CHECKING:
    from rotator.views.status import PlaybookStatus

say = console.complain


def moment(at: float) -> str:
    """Local time, to the minute, with its zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def debt_words(debt: Debt) -> str:
    """What an old key waits for."""
    key = key_with_hint(debt.key)
    if debt.attention:  # which begins with the key where a person is asked to destroy it
        return debt.attention if debt.asks else f"{key}: {debt.attention}"
    if debt.phase is DebtPhase.GRACE:
        policy = debt.plan.policy
        until = moment(debt.born + policy.grace)
        quiet = (
            f"; then, if quiet for {span(policy.quiet)}, it is revoked"
            if policy.quiet
            else "; then it is revoked"
        )
        return f"{key} lives on until {until}{quiet}"
    if debt.asks:
        return (
            f"{key}: destroy it in the provider's console, then `rotator confirm {debt.playbook}`"
        )
    if debt.phase is DebtPhase.SOAK:
        until = moment(debt.since + debt.plan.policy.soak)
        return f"{key} is deactivated until {until}; if nothing fails by then, it is destroyed"
    if debt.phase is DebtPhase.WATCH:
        return f"{key} is {debt.death}; the probes are watched on"
    if debt.phase in (DebtPhase.PAID, DebtPhase.VOID):
        return f"{key} is {debt.death if debt.phase is DebtPhase.PAID else 'current again'}"
    return f"{key}: {debt.phase}"


def without(name: str, key: Key) -> str:
    """Of a playbook whose consumers have no key that works, as far as the journal knows."""
    return (
        f"{key} is in force in {name} and was ordered to die, and no other key was brought out yet"
    )


def attention(status: PlaybookStatus) -> list[str]:
    """What a person must look at."""
    if status.without is None:
        return list(status.problems)
    return [without(status.name, status.without), *status.problems]


def then(name: str) -> str:
    return (
        f"`rotate {name}` makes one, or the next `rotate --due`, once nothing hinders it (`rotate"
        f" {name} --dry-run`)"
    )


def key_with_hint(key: Key) -> str:
    """A key by its id, with its hint where that adds to it."""
    return f"{key} ({key.hint})" if key.id and len(key.hint) > 1 else str(key)


def age(at: float | None, now: float) -> str:
    """How long ago that was. Unix seconds."""
    if not at:
        return "never"
    return f"{span(now - at)} ago" if now - at >= 1 else "just now"
