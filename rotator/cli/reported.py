"""How a command ended for a playbook, in words."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.cli import console, words
from rotator.core import incident
from rotator.core.action import Ask, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase, Proof
from rotator.core.plan import Key
from rotator.core.state import Cause, Outcome, Phase, Rotation
from rotator.counting import count, span
from rotator.engine.keeper import short
from rotator.engine.staying import needs_attention
from rotator.usecases.report import Report


@dataclass(frozen=True)
class Voice:
    """Says lines that begin with whom they are about."""

    about: str = ""

    def put(self, text: str, hang: int = 0) -> None:
        console.put(f"{self.about}{text}", hang)

    def say(self, message: str, *hints: str) -> None:
        words.say(f"{self.about}{message}", *hints)


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
    else:
        _unfinished(found, rotation, voice)
    if found.differs:
        voice.say(
            f"the playbook says otherwise by now: {'; '.join(found.differs)}",
            f"`rotator resume {found.playbook} --today` goes on with that",
        )
    _old_keys(found, voice)
    if isinstance(found.action, Ask) and found.action.kind == "confirm" and found.steps:
        voice.put(f"the old key is destroyed {found.console or 'in the console'}:")
        _steps(found, voice)


def _unfinished(found: Report, rotation: Rotation, voice: Voice) -> None:
    name = short(rotation.id)
    if rotation.phase is Phase.STUCK:
        voice.say(f"needs attention: {rotation.question} ({name})", *_ways_on(rotation))
    elif needs_attention(rotation):
        since, tries = span(rotation.now - rotation.since), count(rotation.tries, "try", "tries")
        failing = f"{rotation.phase} fails since {since}, {tries}: {rotation.problem}"
        again = f"the next `rotate {rotation.playbook}`, or `rotate --due`, tries again"
        voice.say(f"needs attention: {failing} ({name})", rotation.hint or again)
    elif isinstance(found.action, Ask) and found.action.kind == "supply":
        where = found.console or "in the provider's console"
        voice.put(
            f"waiting for the new key ({name}): make it {where}, with the limits and the"
            f" permissions of the old one, then `rotator supply {rotation.playbook}`"
        )
        _steps(found, voice)
    elif isinstance(found.action, WaitUntil):
        until = words.moment(found.action.at)
        voice.put(f"waiting until {until}: {rotation.problem or rotation.phase} ({name})")


def _steps(found: Report, voice: Voice) -> None:
    """What a person does in the console."""
    for number, step in enumerate(found.steps, start=1):
        voice.put(f"  {number}. {step}", 5)


def _old_keys(found: Report, voice: Voice) -> None:
    """Those that need attention, and were not reported as killed."""
    reported = [one.id for one in found.kills if incident.ending(one) is not incident.Ending.DEAD]
    for debt in found.debts:
        if debt.open and debt.attention and debt.id not in reported:
            voice.say(f"an old key needs attention: {words.debt_words(debt)}", _again(debt))


def _again(debt: Debt) -> str:
    """Who goes on with an old key that needs attention."""
    if debt.asks and debt.by_hand:  # its words end with what a person does
        return f"`rotator keys {debt.playbook}` shows whether it still works"
    if debt.asks:
        return f"destroy it in the provider's console, then `rotator confirm {debt.playbook}`"
    if debt.phase is DebtPhase.HELD:
        return "it is looked at again every hour"
    return "it is tried again by the next `rotate --due`"


def _ways_on(rotation: Rotation) -> tuple[str, ...]:
    """What a person does, and types once they have looked. Nothing goes back to a leaked key."""
    if rotation.came_from is Phase.RECOGNISE:  # its hint has the orders
        return (rotation.hint,)
    orders = f"`rotator resume {rotation.playbook}`"
    if not rotation.compromised:
        orders += f" or `rotator undo {rotation.playbook}`"
    look = "" if rotation.hint else f"`rotator show {short(rotation.id)}` has each attempt; "
    return (rotation.hint, f"{look}then {orders}")


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
    key, name = words.key_with_hint(debt.key), debt.playbook
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
    match rotation.outcome:
        case Outcome.VERIFIED:
            _verified(found, rotation, voice)
        case Outcome.ROLLED_BACK:
            _rolled_back(found, rotation, voice)
        case Outcome.REFUSED:
            _refused(found, rotation, voice)
        case Outcome.ABANDONED:
            text = f"it is over ({short(rotation.id)}): {rotation.problem}"
            voice.say(text, rotation.hint, _orphan(rotation))
        case _:
            pass


def _verified(found: Report, rotation: Rotation, voice: Voice) -> None:
    waiting = [debt for debt in found.debts if debt.open and debt.phase not in DEAD_PHASES]
    for debt in waiting:
        if not debt.attention:
            indent = "" if voice.about else "  "
            voice.put(f"{indent}revoke     … {words.debt_words(debt)}", 15)
    if rotation.compromised and not found.kills:
        for debt in found.debts:
            if _died_as_leaked(debt):
                killed(debt, voice)
    what = f"back to the previous key {rotation.new}: verified" if rotation.back else "verified"
    next_step = _revoked_next(sum(not _of_a_person(debt) for debt in waiting), rotation.back)
    details = f"`rotator show {short(rotation.id)}` tells more."
    voice.put(f"{what} in {found.seconds:.0f} s.{next_step} {details}")
    _put_orphan(rotation, voice)


def _died_as_leaked(debt: Debt) -> bool:
    dead = debt.phase is not DebtPhase.VOID and incident.ending(debt) is incident.Ending.DEAD
    return debt.cause is Cause.COMPROMISED and dead


def _revoked_next(keys: int, back: bool) -> str:
    """What the next run does to that many old keys."""
    if not keys:
        return ""
    if back:
        old_keys = "key that was left" if keys == 1 else "keys that were left"
    else:
        old_keys = "old key" if keys == 1 else "old keys"
    return f" The next `rotate --due` revokes the {old_keys};"


def _refused(found: Report, rotation: Rotation, voice: Voice) -> None:
    changed = "no new key was made" if found.kills else "nothing was changed"
    again = ""
    if rotation.compromised and not found.kills:  # an order that was refused is not kept
        order = f"`rotate {rotation.playbook} --compromised` once more"
        again = f"{order}: the leaked key lives until then"
    text = f"refused, and {changed} ({short(rotation.id)}): {rotation.problem}"
    voice.say(text, rotation.hint, again)


def _of_a_person(debt: Debt) -> bool:
    """What it waits for is said in its own line."""
    return bool(debt.attention) or (debt.phase is DebtPhase.REVOKE and debt.plan.supplied)


def _rolled_back(found: Report, rotation: Rotation, voice: Voice) -> None:
    name = short(rotation.id)
    if rotation.back:
        text = f"not back to the previous key, the present one stays ({name}): {rotation.problem}"
        voice.say(text, rotation.hint)
    elif found.ordered:
        voice.put(_undone_as_ordered(rotation))
        _put_orphan(rotation, voice)
    else:
        text = f"rolled back, the old key is in force ({name}): {rotation.problem}"
        hint = rotation.hint or f"`rotator show {name}` has each attempt"
        voice.say(text, hint, _orphan(rotation))


def _undone_as_ordered(rotation: Rotation) -> str:
    name = short(rotation.id)
    if rotation.possible_orphan:
        return f"undone, as ordered: the old key is in force ({name})"
    if rotation.new is None and not rotation.last_create:
        return f"undone, as ordered: no key had been made ({name})"
    return f"rolled back, as ordered: the old key is in force, the new one is destroyed ({name})"


def _put_orphan(rotation: Rotation, voice: Voice) -> None:
    if orphan := _orphan(rotation):
        voice.put(orphan)


def _orphan(rotation: Rotation) -> str:
    """What is to be looked for, where there may be a key that nobody knows."""
    if not rotation.possible_orphan:
        return ""
    return (
        "look in the provider's console, there may be a key that nobody knows:"
        f" {rotation.possible_orphan}"
    )
