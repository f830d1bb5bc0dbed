"""The pictures of ARCHITECTURE.md: the layers from the imports, the states from the core's decisions.

Nothing here is drawn by hand. A transition is drawn because `apply` made it in one of the situations
of tests/unit/decisions.py, given a result that the call of that phase can have.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from rotator.core import debt as debt_machine
from rotator.core import machine, turn
from rotator.core.action import (
    Call,
    Done,
    Failed,
    Later,
    Op,
    Read,
    Ready,
    Recognised,
    Recovered,
    Result,
    Swept,
    Unknown,
    WaitUntil,
    Written,
)
from rotator.core.debt_state import Debt, DebtPhase, Proof
from rotator.core.look import Facts
from rotator.core.plan import Key
from rotator.core.state import UNDOING, Cause, Outcome, Phase, Rotation
from tests.unit import decisions

ROOT = Path(__file__).parent.parent.parent
# What a call answers when it is done; all other calls answer nothing that decides.
_ANSWERS: dict[Op, type | tuple[type, ...]] = {
    Op.PREFLIGHT: Ready,
    Op.SNAPSHOT: tuple,
    Op.GENERATE: Key,
    Op.RECOVER: Recovered,
    Op.RECOGNISE: Recognised,
    Op.READ: Read,
    Op.WRITE: Written,
    Op.LOOK: Facts,
    Op.PROVE: Proof,
    Op.QUIET: float,
    Op.SUSPECT: bool,
    Op.SWEEP: Swept,
}


class Why(StrEnum):
    """Why a unit goes to another phase. An edge without a word is that of a call that is done."""

    DONE = ""
    TIME = "time"
    FAILED = "failed"
    LOST = "answer lost"
    PICKED_UP = "another process goes on"
    DEBT = "its debt is paid"


Edges = dict[tuple[str, str], set[str]]


@cache
def rotation_edges() -> Edges:
    """Every transition of a rotation that is not a person's order."""
    edges: Edges = defaultdict(set)
    for phase in Phase:
        for changes in (*_waiting_too(decisions.ROTATIONS), *_alone(decisions.ROTATIONS)):
            rotation = replace(decisions.ROTATION, phase=phase, **changes)
            for why, after in _after_rotation(rotation):
                if isinstance(after, Rotation) and after.phase is not phase:
                    edges[_place(rotation), _place(after)].add(why)
    return edges


@cache
def debt_edges() -> Edges:
    """Every transition of a debt that is not a person's order, and where it begins."""
    edges: Edges = defaultdict(set)
    for cause, able in product(Cause, (False, True)):
        plan = replace(decisions.PLAN, can_deactivate=able)
        begun = debt_machine.begin(replace(decisions.DEBT, cause=cause, plan=plan))
        edges["[*]", str(begun.phase)].add(str(cause))
    for phase in DebtPhase:
        for changes in (*_waiting_too(decisions.DEBTS), *_impatient(decisions.DEBTS)):
            debt = replace(decisions.DEBT, phase=phase, **changes)
            action = debt_machine.next_action(debt)
            for why, result in _results(action):
                after = _tried(debt_machine.apply, debt, result)
                if isinstance(after, Debt) and after.phase is not phase:
                    edges[str(phase), str(after.phase)].add(why)
    return edges


def _waiting_too(situations: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each situation as it is, and with a wait that is over now."""
    for changes in situations.values():
        yield changes
        yield {**changes, "wake": decisions.NOW}


def _alone(situations: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each situation with no consumers, at its last store."""
    for changes in situations.values():
        plan = changes.get("plan", decisions.PLAN)
        last = len(plan.stores) - 1
        yield {**changes, "plan": replace(plan, consumers=()), "target": last}


def _impatient(situations: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each situation with a policy that neither waits for quiet nor watches."""
    for changes in situations.values():
        plan = changes.get("plan", decisions.PLAN)
        yield {**changes, "plan": replace(plan, policy=replace(plan.policy, quiet=0.0, watch=0.0))}


def _after_rotation(rotation: Rotation) -> Iterator[tuple[Why, Any]]:
    action = _tried(machine.next_action, rotation)
    for why, result in _results(action):
        yield why, _tried(machine.apply, rotation, result)
    yield Why.PICKED_UP, machine.picked_up(rotation)
    if rotation.phase is Phase.SETTLE:
        paid = Debt("d", "p", rotation.id, decisions.NEW, Cause.UNDONE, decisions.PLAN)
        yield Why.DEBT, turn.settle(rotation, (replace(paid, phase=DebtPhase.PAID),))


def _results(action: Any) -> Iterator[tuple[Why, Result]]:
    """What an action can end with. A wait is only ever over; a question is answered by an order."""
    if isinstance(action, WaitUntil):
        yield Why.TIME, Done(max(decisions.NOW, action.at))
    if not isinstance(action, Call):
        return
    answers = _ANSWERS.get(action.op, ())
    for result in decisions.RESULTS.values():
        if isinstance(result, Done):
            if result.data is None or isinstance(result.data, answers):
                yield Why.DONE, result
        elif isinstance(result, Unknown):
            yield Why.LOST, result
        elif isinstance(result, Failed | Later):
            yield Why.FAILED, result


def _tried(act: Callable[..., Any], *given: Any) -> Any:
    try:
        return act(*given)
    except (AssertionError, AttributeError, IndexError):
        return None  # a situation that cannot come to pass in this phase


def _place(rotation: Rotation) -> str:
    return str(rotation.outcome if rotation.phase is Phase.ENDED else rotation.phase)


def forward() -> str:
    """A rotation until it is verified. Undo is one state here."""
    undo = {str(phase) for phase in UNDOING}
    kept = {
        (before, after): why
        for (before, after), why in rotation_edges().items()
        if before not in undo and after not in undo and not {before, after} & _SET_APART
    }
    return "\n".join(
        [
            *_diagram(kept, str(Phase.PREFLIGHT), {str(Outcome.VERIFIED)}),
            "",
            _sentence("To undo it turns from", _leading_to(undo, but=undo)),
            _sentence("It is refused, with nothing changed, from", _leading_to({"refused"})),
            _sentence("It is rolled back at once from", _leading_to({"rolled back"}, but=undo)),
            _sentence("It gets stuck, and a person is asked, in", _leading_to({"stuck"}, but=undo)),
        ]
    )


# Ends and stops that many phases lead to: said in a sentence below the picture.
_SET_APART = {"refused", "rolled back", "abandoned", "stuck"}


def undo() -> str:
    """Back to the previous key, in every store and every consumer."""
    places = {str(phase) for phase in UNDOING}
    kept = {
        (before, after): why
        for (before, after), why in rotation_edges().items()
        if before in places and after != str(Phase.STUCK)
    }
    return "\n".join(
        [
            *_diagram(kept, str(Phase.WAY_BACK), {str(Outcome.ROLLED_BACK)}),
            "",
            _sentence(
                "It gets stuck, and a person is asked, in", _leading_to({"stuck"}, of=places)
            ),
        ]
    )


def debt() -> str:
    """An old key until it is dead."""
    held = str(DebtPhase.HELD)
    edges = debt_edges()
    kept = {pair: why for pair, why in edges.items() if held not in pair}
    stopped = [before for before, after in edges if after == held and before != "[*]"]
    again = [after for before, after in edges if before == held]
    begun = next(why for pair, why in edges.items() if pair == ("[*]", held))
    return "\n".join(
        [
            *_diagram(kept, None, {str(DebtPhase.PAID)}),
            "",
            _sentence("It is held in", stopped),
            _sentence("After a while, or when a person says so, `held` goes on to", again),
            _sentence("A debt begins in `held`, until a person decides, where its cause is", begun),
        ]
    )


def _leading_to(
    places: set[str], but: set[str] | None = None, of: set[str] | None = None
) -> list[str]:
    """The phases from which a step leads to one of these places."""
    found = dict.fromkeys(before for before, after in rotation_edges() if after in places)
    return [name for name in found if name not in (but or ()) and (of is None or name in of)]


def _sentence(begin: str, names: Iterable[str]) -> str:
    return f"{begin}: {', '.join(f'`{name}`' for name in dict.fromkeys(names))}.\n"


def _diagram(edges: Edges, start: str | None, ends: set[str]) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2"]
    names = dict.fromkeys(name for pair in edges for name in pair if name != "[*]")
    lines += [f"    state {_quoted(name)} as {_id(name)}" for name in names if " " in name]
    lines += [f"    [*] --> {_id(start)}"] if start else []
    for (before, after), why in edges.items():
        words = "" if Why.DONE in why else " / ".join(sorted(why))
        lines.append(f"    {_id(before)} --> {_id(after)}" + (f" : {words}" if words else ""))
    lines += [f"    {_id(name)} --> [*]" for name in names if name in ends]
    return [*lines, "```"]


def _id(name: str) -> str:
    return name.replace(" ", "_")


def _quoted(name: str) -> str:
    return f'"{name}"'


def layers() -> str:
    """Rooms and the imports between them; an import that another path implies is left out."""
    floors = _floors()
    packages = {
        path.name for path in (ROOT / "rotator").iterdir() if (path / "__init__.py").exists()
    }
    lowest = max(i for i, names in enumerate(floors) if packages & set(names))
    rooms = {
        name: name if i <= lowest else _SMALL for i, names in enumerate(floors) for name in names
    }
    arrows = _without_implied(_imports(rooms))
    small = " ".join(sorted(name for name, room in rooms.items() if room == _SMALL))
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {name}[{name}/]" for name in sorted(set(rooms.values()) & packages)]
    lines += [f"    {_SMALL}[values and small tools]"]
    lines += [f"    {importer} --> {imported}" for importer, imported in sorted(arrows)]
    return "\n".join(
        [*lines, "```", "", f"Values and small tools: `{small.replace(' ', '`, `')}`.\n"]
    )


_SMALL = "small"


def _floors() -> list[list[str]]:
    """The layers of import-linter, from the top; rooms on one floor do not import each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found = next(c for c in contracts["contracts"] if c["type"] == "layers")
    return [[name.strip(" ()") for name in floor.split("|")] for floor in found["layers"]]


def _imports(rooms: dict[str, str]) -> set[tuple[str, str]]:
    """Which room imports which, wherever in a module the import stands."""
    arrows = set()
    for path in (ROOT / "rotator").rglob("*.py"):
        importer = rooms.get(path.relative_to(ROOT / "rotator").parts[0].removesuffix(".py"))
        for name in _imported(ast.parse(path.read_text())):
            imported = rooms.get(name)
            if importer and imported and importer != imported:
                arrows.add((importer, imported))
    return arrows


def _imported(tree: ast.Module) -> Iterator[str]:
    """Names right below `rotator` that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "rotator":
                yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("rotator.")
            )


def _without_implied(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that no longer path stands for."""
    below: dict[str, set[str]] = defaultdict(set)
    for importer, imported in arrows:
        below[importer].add(imported)

    @cache
    def reached(room: str) -> frozenset[str]:
        return frozenset(below[room]).union(*(reached(other) for other in list(below[room])))

    return {
        (importer, imported)
        for importer, imported in arrows
        if not any(imported in reached(other) for other in below[importer] - {imported})
    }


PARTS: dict[str, Callable[[], str]] = {
    "layers": layers,
    "rotation": forward,
    "undo": undo,
    "debt": debt,
}
