"""What another package's plugin answers is looked at in every call: a wrong answer, or an error that
no contract knows, names plugin and member, and shows no key.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from rotator.errors import OutcomeUnknown, PermanentError, RotatorError, TransientError, Unreadable
from rotator.model import Credential, Held, Instance, KeyRecord, Label, Progress
from rotator.plugin import conform, setting
from rotator.plugin.answers import watched
from rotator.secret import Secret
from tests.unit.test_conform import SMALL, frozen

KEY = "acme-0123456789abcdef"
LABEL = Label("house", "app", "r1", 1)
CHANGED = {("provider", "generate"): Unreadable, ("store", "write"): OutcomeUnknown}
METHODS = [
    (kind, member)
    for kind, contract in conform.KINDS.items()
    for member in conform.members(contract)
    if member.parameters is not None
]


def made(kind: str, **members: Any) -> Any:
    return watched(kind, "acme", frozen(SMALL[kind], **members))()


def _ask(plugin: Any, member: conform.Member) -> Any:
    """With as many arguments as its contract names; what they are is of no account here."""
    return getattr(plugin, member.name)(*([None] * len(member.parameters or ())))


def _accepting(answer: Callable[[], Any]) -> Callable[..., Any]:
    return lambda self, *given: answer()


@pytest.mark.parametrize(("kind", "member"), METHODS, ids=str)
def test_an_answer_of_another_type_names_plugin_and_member(
    kind: str, member: conform.Member
) -> None:
    plugin = made(kind, **{member.name: _accepting(lambda: 3 + 4j)})
    with pytest.raises(RotatorError) as raised:
        _ask(plugin, member)
    assert raised.value.message.startswith(f"{kind}.acme: `{member}` is a complex, not ")
    assert type(raised.value) is CHANGED.get((kind, member.name), PermanentError)


@pytest.mark.parametrize(("kind", "member"), METHODS, ids=str)
def test_an_error_that_no_contract_knows_names_plugin_and_member(
    kind: str, member: conform.Member
) -> None:
    """Whether a key was made is not known then: it is looked for."""

    def fail() -> None:
        raise KeyError("versions")

    plugin = made(kind, **{member.name: _accepting(fail)})
    with pytest.raises(RotatorError) as raised:
        _ask(plugin, member)
    assert raised.value.message == f"{kind}.acme: `{member}` raised KeyError: 'versions'"
    may_have_made = (kind, member.name) == ("provider", "generate")
    assert type(raised.value) is (OutcomeUnknown if may_have_made else PermanentError)


@pytest.mark.parametrize(
    ("kind", "name", "answer", "words"),
    [
        ("store", "read", Held({"key": Secret(KEY)}, 3), "`read().version` is an int, not a str"),  # type: ignore[arg-type]
        (
            "store",
            "read",
            Held({"key": KEY}, "3"),  # type: ignore[dict-item]
            "`read().values.values()[0]` is a str, not a Secret",
        ),
        (
            "provider",
            "inventory",
            [KeyRecord("a"), KeyRecord("b", created_at="2026-01-01")],  # type: ignore[arg-type]
            "`inventory()[1].created_at` is a str, not a float or None",
        ),
        ("provider", "inventory", {"a": 1}, "`inventory()` is a dict, not a list of KeyRecord"),
        (
            "provider",
            "generate",
            Credential({"key": KEY}),  # type: ignore[dict-item]
            "`generate(label, like).values.values()[0]` is a str, not a Secret",
        ),
        (
            "restarter",
            "progress",
            Progress(1, 1, True, (Instance("web", holds=KEY),)),  # type: ignore[arg-type]
            "`progress(change).instances[0].holds` is a str, not a Secret or None",
        ),
        ("restarter", "restart", True, "`restart(change)` is a bool, not a NotYet or None"),
    ],
)
def test_what_stands_inside_an_answer_is_named_by_its_place(
    kind: str, name: str, answer: Any, words: str
) -> None:
    (member,) = (one for one in conform.members(conform.KINDS[kind]) if one.name == name)
    with pytest.raises(RotatorError) as raised:
        _ask(made(kind, **{name: _accepting(lambda: answer)}), member)
    assert raised.value.message == f"{kind}.acme: {words}"
    assert KEY not in str(raised.value)


def test_a_key_in_an_error_of_the_plugin_is_not_shown() -> None:
    secret = Secret(KEY)

    def read(self: Any) -> Held | None:
        raise ValueError(f"cannot parse {KEY}")

    with pytest.raises(PermanentError, match=r"store.acme: `read\(\)` raised ValueError") as raised:
        made("store", read=read).read()
    assert secret.reveal() == KEY and KEY not in raised.value.message


def test_errors_of_the_contract_go_through() -> None:
    error = TransientError("busy", retry_in=3.0)

    def read(self: Any) -> Held | None:
        raise error

    with pytest.raises(TransientError) as raised:
        made("store", read=read).read()
    assert raised.value is error


def test_a_property_that_may_ask_is_watched_too() -> None:
    plugin = made("store", compare_and_set=property(lambda self: "yes"))
    with pytest.raises(PermanentError, match="store.acme: `compare_and_set` is a str, not a bool"):
        assert plugin.compare_and_set


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slotted(SMALL["store"]):  # type: ignore[misc]
    """A store with slots, and a capability."""

    entry: str = setting("Its entry")

    def nudge(self, why: str) -> None:
        return None


def test_a_watched_plugin_is_the_same_otherwise() -> None:
    """It is compared, copied and described as before; it has no capability that it had not."""
    kind = watched("store", "acme", Slotted)
    plugin = kind(entry="a")
    assert kind is watched("store", "acme", Slotted), "else two of one playbook would differ"
    assert plugin == kind(entry="a") != kind(entry="b")
    assert type(dataclasses.replace(plugin, entry="b")) is kind and isinstance(plugin, Slotted)
    assert inspect.getdoc(kind) == "A store with slots, and a capability."
    assert dataclasses.fields(kind) == dataclasses.fields(Slotted)
    assert not hasattr(plugin, "fits") and plugin.nudge("why") is None
    assert str(inspect.signature(kind.write)) == str(inspect.signature(Slotted.write))
