"""How a command ended for a playbook, in words."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.cli import console, words
from rotator.core import incident
from rotator.core.action import Ask, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase, Proof
from rotator.core.plan import Key
from rotator.core.state import Cause, Outcome, Phase, Rotation
from rotator.counting import count
from rotator.durations import words as span
from rotator.engine.keeper import short
from rotator.engine.staying import needs_attention
from rotator.usecases.report import Report


@dataclass(frozen=True)
class Voice:
    """Says lines that begin with whom they are about."""

    about: str = ""

    def put(self, text: str, hang: int = 0) -> None:
        console.put(f"{self.about}{text}", hang)

    def say(self, message: str, hint: str = "") -> None:
        words.say(f"{self.about}{message}", hint)


def report(found: Report, many: bool = False) -> None:
    """How a rotation ended, for a person; of several, each line with its playbook."""
    voice = Voice(f"{found.playbook}: " if many else "")
    rotation = found.rotation
    if found.error is not None:
        return voice.say(found.error.message, found.error.hint)
    for line in found.taken:
        voice.put(f"as today: {line}")
    for debt in found.kills:
        killed(debt, voice)
    _under_way(found, rotation, voice)
    if found.without is not None:
        voice.say(words.without(found.playbook, found.without), words.then(found.playbook))
    return None


def _under_way(found: Report, rotation: Rotation | None, voice: Voice) -> None:
    if found.kills and (rotation is None or not rotation.compromised):
        return  # the order was about an older key alone
    if (
        found.kills
        and found.followed
        and rotation is not None
        and rotation.phase is not Phase.ENDED
    ):
        voice.put(
            "the new key is on its way: another process carries it on (`rotator show"
            f" {short(rotation.id)}`)"
        )
        return
    if rotation is None:
        for debt in found.debts:
            if not (debt.open and debt.attention):
                voice.put(words.debt_words(debt))
    elif rotation.phase is Phase.ENDED:
        _ended(found, rotation, voice)
    elif rotation.phase is Phase.STUCK:
        voice.say(f"needs attention: {rotation.question} ({short(rotation.id)})", _way_on(rotation))
    elif needs_attention(rotation):
        since, tries = span(rotation.now - rotation.since), count(rotation.tries, "try", "tries")
        voice.say(
            f"needs attention: {rotation.phase} fails since {since}, {tries}: {rotation.problem} "
            f"({short(rotation.id)})",
            rotation.hint
            or f"the next `rotate {rotation.playbook}`, or `rotate --due`, tries again",
        )
    elif isinstance(found.action, Ask) and found.action.kind == "supply":
        where = found.console or "in the provider's console"
        voice.put(
            f"waiting for the new key ({short(rotation.id)}): make it {where}, "
            "with the limits and the permissions of the old one, "
            f"then `rotator supply {rotation.playbook}`"
        )
    elif isinstance(found.action, WaitUntil):
        voice.put(
            f"waiting until {words.moment(found.action.at)}: {rotation.problem or rotation.phase}"
            f" ({short(rotation.id)})"
        )
    if found.differs:
        voice.say(
            f"the playbook says otherwise by now: {'; '.join(found.differs)}",
            f"`rotator resume {found.playbook} --today` goes on with that",
        )
    told = [one.id for one in found.kills if incident.ending(one) is not incident.Ending.DEAD]
    for debt in found.debts:
        if debt.open and debt.attention and debt.id not in told:
            again = "it is looked at again every hour"
            if debt.phase is not DebtPhase.HELD:
                again = "it is tried again by the next `rotate --due`"
            voice.say(f"an old key needs attention: {words.debt_words(debt)}", again)


def _way_on(rotation: Rotation) -> str:
    """What a person types once they have looked. Nothing goes back to a leaked key."""
    orders = f"`rotator resume {rotation.playbook}`"
    if not rotation.compromised:
        orders += f" or `rotator undo {rotation.playbook}`"
    if "`rot" in rotation.hint:
        return rotation.hint
    return (
        f"{rotation.hint} Then {orders}"
        if rotation.hint
        else f"`rotator show {short(rotation.id)}`, then {orders}"
    )


def abandoned(found: Report, current: Key | None) -> None:
    """What stands once a rotation was given up."""
    name = found.playbook
    console.put(f"abandoned, as ordered: {current or 'no key'} is in force")
    for debt in found.debts:
        if debt.open and debt.phase not in DEAD_PHASES:
            console.put(f"  {words.debt_words(debt)}", 4)
    console.put(f"`rotator keys {name}` shows each key; `rotate {name}` makes another")


def killed(debt: Debt, voice: Voice) -> None:
    """What became of a key that was ordered to die first, in one sentence."""
    key, name = words.key_words(debt), debt.playbook
    match incident.ending(debt):
        case incident.Ending.DEAD if debt.proof:
            seen = (
                "it was refused" if debt.proof is Proof.REFUSED else "the provider lists it no more"
            )
            voice.put(f"{key} is dead, proven: {seen} after its revocation")
        case incident.Ending.DEAD:
            voice.put(f"{key} is {debt.death}; that was not seen")
        case incident.Ending.ASKED:
            voice.say(
                f"{key} lives until a person destroys it in the provider's console",
                f"then `rotator confirm {name}`; `rotator keys {name}` shows whether it still"
                " works",
            )
        case incident.Ending.RETRIED if debt.phase is DebtPhase.PROVE:
            voice.say(
                f"{key} was revoked, not proven yet: {debt.attention}",
                f"`rotator keys {name}` looks again",
            )
        case incident.Ending.RETRIED:
            voice.say(
                f"{key} still lives: {debt.attention}",
                f"it is tried again, by `rotate --due` too; `rotator resume {name}` tries now; "
                "or destroy it in the provider's console",
            )
        case _:
            voice.put(f"{key} is being revoked ({debt.phase})")


def _ended(found: Report, rotation: Rotation, voice: Voice) -> None:
    name = short(rotation.id)
    orphan = f" {_orphan(rotation)}" if rotation.possible_orphan else ""
    match rotation.outcome:
        case Outcome.VERIFIED:
            for debt in found.debts:
                if debt.open and debt.phase not in DEAD_PHASES and not debt.attention:
                    voice.put(
                        f"{'' if voice.about else '  '}revoke     … {words.debt_words(debt)}", 15
                    )
            if rotation.compromised and not found.kills:
                for debt in found.debts:
                    dead = (
                        debt.phase is not DebtPhase.VOID
                        and incident.ending(debt) is incident.Ending.DEAD
                    )
                    if debt.cause is Cause.COMPROMISED and dead:
                        killed(debt, voice)
            waiting = [debt for debt in found.debts if debt.open and debt.phase not in DEAD_PHASES]
            waits = sum(not _of_a_person(debt) for debt in waiting)
            tail = (
                f" The next `rotate --due` revokes the old key{'s' if waits > 1 else ''};"
                if waits
                else ""
            )
            what = (
                f"back to the previous key {rotation.new}: verified"
                if rotation.back
                else "verified"
            )
            left = tail.replace("old key", "key that was left") if rotation.back else tail
            voice.put(
                f"{what} in {found.seconds:.0f} s.{left} `rotator show {name}` tells more.{orphan}"
            )
        case Outcome.ROLLED_BACK:
            _rolled_back(found, rotation, name, voice)
        case Outcome.REFUSED:
            changed = "No new key was made" if found.kills else "Nothing was changed"
            hint = rotation.hint
            if rotation.compromised and not found.kills:  # an order that was refused is not kept
                again = (
                    f"`rotate {rotation.playbook} --compromised` once more: the leaked key lives"
                    " until then"
                )
                hint = (
                    f"{hint}{' Then' if hint.endswith('?') else '; then'} {again}"
                    if hint
                    else again
                )
            voice.say(f"{rotation.problem}. {changed}. ({name})", hint)
        case Outcome.ABANDONED:
            voice.say(f"it is over: {rotation.problem} ({name}).{orphan}", rotation.hint)
        case _:
            pass


def _of_a_person(debt: Debt) -> bool:
    """What it waits for is said in its own line."""
    return bool(debt.attention) or (debt.phase is DebtPhase.REVOKE and debt.plan.supplied)


def _rolled_back(found: Report, rotation: Rotation, name: str, voice: Voice) -> None:
    if rotation.back:
        told = f"not back to the previous key: {rotation.problem}. The present one stays ({name})"
        return voice.say(told, rotation.hint)
    if found.ordered and rotation.possible_orphan:
        voice.put(f"undone, as ordered: the old key is in force ({name}). {_orphan(rotation)}")
        return None
    if found.ordered and rotation.new is None and not rotation.last_create:
        voice.put(f"undone, as ordered: no key had been made ({name})")
        return None
    if found.ordered:
        voice.put(
            f"rolled back, as ordered: the old key is in force, the new one is destroyed ({name})"
        )
        return None
    orphan = f" {_orphan(rotation)}" if rotation.possible_orphan else ""
    voice.say(
        f"rolled back: {rotation.problem}. The old key is in force; nothing was lost.{orphan}"
        f" ({name})",
        rotation.hint or f"`rotator show {name}` has each attempt",
    )
    return None


def _orphan(rotation: Rotation) -> str:
    return (
        f"There may be a key that nobody knows: {rotation.possible_orphan}. Look in the provider's"
        " console."
    )
