"""What people order about a playbook's name and history: rename, forget."""

from __future__ import annotations

from rotator.core.debt_state import DebtPhase
from rotator.core.order import Order
from rotator.core.plan import Key
from rotator.core.state import Outcome
from rotator.errors import ConfigError, RefusedError
from rotator.journal import naming
from rotator.journal.cases import Case
from rotator.usecases import keys
from rotator.usecases.runtime import Runtime
from rotator.usecases.situation import Situation


def rename(runtime: Runtime, old: str, new: str) -> None:
    """The history of `old` belongs to the playbook `new` from now on.

    Raises ConfigError where one of them is not known, RefusedError where something is unfinished
    or two histories would become one.
    """
    loaded = runtime.playbooks()
    loaded.get(new)
    if old in loaded.playbooks:
        raise RefusedError(f"{old} is still a playbook", f"rename its file to {new}.yaml first")
    with runtime.leased(old, True) as before, runtime.leased(new, True) as after:
        current, other = before.situation.current, after.situation.current
        _refuse_unknown(before.situation)
        _refuse_unfinished(before.session.case, old)
        _refuse_history(after.session.case, new)
        if current is not None and other is not None and not current.same(other):
            raise RefusedError(
                f"{new} was adopted with another key ({other}) than {old} has ({current})",
                f"`rotator forget {old}` if its key is gone, or put its key into the stores and"
                " adopt that",
            )
        with runtime.journal.database.write() as connection:
            naming.rename(connection, runtime.journal.sealer, old, new)
            runtime.note(connection, "renamed", playbook=new, formerly=old)
        runtime.listeners.hand_out()


def _refuse_unknown(present: Situation) -> None:
    if present.row is None:
        raise ConfigError(
            f"the journal knows no playbook {present.name}",
            "`rotator history` lists what it knows",
        )


def _refuse_unfinished(case: Case, name: str) -> None:
    if case.unfinished is not None:
        raise RefusedError(
            f"{name} has an unfinished rotation",
            f"`rotator resume {name}`, `undo` or `abandon` ends it first",
        )


def _refuse_history(case: Case, name: str) -> None:
    _refuse_unfinished(case, name)
    rotated = case.rotation is not None and case.rotation.outcome not in (Outcome.REFUSED, None)
    if rotated or any(debt.open for debt in case.debts):
        raise RefusedError(
            f"{name} has a history of its own", "two histories do not become one: keep both names"
        )


def forget(runtime: Runtime, name: str, gone: bool = False) -> None:
    """The journal knows no key of this playbook any more. `gone`: a person says that its key is
    destroyed.

    Raises RefusedError while its key, or an old one, may live; ConfigError for an unknown name.
    """
    if name in runtime.playbooks().playbooks:
        raise RefusedError(f"{name} is still a playbook", "take its file away first")
    with runtime.leased(name, anywhere=True) as leased:
        case, current = leased.session.case, leased.situation.current
        _refuse_unknown(leased.situation)
        _refuse_unfinished(case, name)
        living = [debt for debt in case.debts if debt.open and debt.phase is not DebtPhase.WATCH]
        if living:
            hint = (
                f"`rotator revoke {name}` first; what is somebody else's: `rotator forget {name}"
                " --key ID`"
            )
            raise RefusedError(
                f"old keys of {name} still live: {', '.join(str(debt.key) for debt in living)}",
                hint,
            )
        if current is not None and not gone:
            _refuse_living(runtime, name, current)
        with runtime.journal.database.write() as connection:
            naming.forget(connection, name)
            who = "a person" if gone else "its provider"
            runtime.note(
                connection, "forgotten", playbook=name, key=str(current or ""), gone_told_by=who
            )
        runtime.listeners.hand_out()


def _refuse_living(runtime: Runtime, name: str, current: Key) -> None:
    """By the key itself, else by its provider's list."""
    (seen,) = keys.look(runtime, name, current.id or current.hint)
    if seen.alive is None:
        raise RefusedError(
            f"nobody can tell whether {current} is gone",
            f"look in the provider's console, then `rotator forget {name} --gone`",
        )
    if seen.alive:
        hint = (
            f"`rotate {name} --compromised --revoke-first` destroys it; `rotator rename {name} NEW`"
            " keeps it"
        )
        raise RefusedError(f"the key of {name} still works ({current})", hint)


def let_go(runtime: Runtime, name: str, key_id: str, reason: str) -> None:
    """A key that nobody decided about is somebody else's.

    Raises RefusedError for one that was made here.
    """
    with runtime.session(name, anywhere=True) as session:
        debts = [
            debt
            for debt in session.case.debts
            if debt.open and key_id in (debt.key.id, debt.key.hint)
        ]
        if not debts:
            raise RefusedError(
                f"{name} has no old key {key_id}", f"`rotator keys {name}` lists them"
            )
        refused = session.order(Order.FORGET, debts[0], reason)
        if refused is not None:
            raise RefusedError(f"{name}: {refused.reason}", refused.hint_for(name))
