"""Whether a plugin keeps its contract, asked when it is loaded: each mistake in one sentence.

A class is checked once; what its properties return, each time one is made of it. Else a member
that is missing would be an AttributeError in the middle of a rotation, and look like a mistake of
rotator.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from rotator.errors import ConfigError
from rotator.plugin import probe, provider, restarter, store
from rotator.plugin.capabilities import UsualAddress
from rotator.plugin.typed import are_strangers, article, misfit, spoken

KINDS: Mapping[str, type] = {
    "provider": provider.Provider,
    "store": store.Store,
    "restarter": restarter.Restarter,
    "probe": probe.Probe,
}
# What a plugin of a kind may have besides: it is asked as soon as the member is there
_CAPABILITIES: Mapping[str, tuple[type, ...]] = {
    "provider": (
        provider.Inheriting,
        provider.Console,
        provider.ConsoleSteps,
        provider.Probing,
        provider.Destroying,
        provider.InSteps,
        provider.Slotted,
        provider.Told,
        UsualAddress,
    ),
    "store": (
        store.Addressed,
        store.Copied,
        store.Fitting,
        store.KeyFields,
        store.Mounted,
        store.Nudged,
        store.ReadBy,
        store.Several,
        store.WithEntry,
        UsualAddress,
    ),
    "restarter": (
        restarter.Beside,
        restarter.EnvFileReader,
        restarter.KeepsMounts,
        restarter.Shared,
        UsualAddress,
    ),
    "probe": (probe.AsksWithKey, probe.Foreseen, UsualAddress),
}
# Keys that an entry of a playbook has besides the plugin's settings
RESERVED: Mapping[str, frozenset[str]] = {
    "provider": frozenset({"uses"}),
    "store": frozenset({"uses", "follows", "create"}),
    "restarter": frozenset({"uses", "allow_unhealthy"}),
    "probe": frozenset({"uses"}),
}
_ASKS = frozenset({"compare_and_set"})  # may ask the system: not evaluated here
_HINT = "docs/plugins.md says what a plugin has; is it of another version of rotator?"


class PluginMistakes(ConfigError):
    """A plugin that does not keep its contract; `mistakes` has every one, without its name."""

    def __init__(self, kind: str, name: str, mistakes: Sequence[str], hint: str = _HINT) -> None:
        self.plugin = f"{kind}.{name}"
        self.mistakes = tuple(mistakes)
        super().__init__(f"{self.plugin}: {'; '.join(self.mistakes)}", hint)


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One member of a contract. `parameters`: None for a property; `returns`: the type of what is
    answered.
    """

    name: str
    parameters: tuple[inspect.Parameter, ...] | None
    returns: Any

    def __str__(self) -> str:
        if self.parameters is None:
            return self.name
        return f"{self.name}({', '.join(one.name for one in self.parameters)})"


def check_class(kind: str, name: str, plugin: Any) -> None:
    """Raises PluginMistakes with all that is wrong with a plugin's class."""
    if mistakes := _of_class(kind, plugin):
        raise PluginMistakes(kind, name, mistakes)


def check_made(kind: str, name: str, plugin: Any) -> None:
    """Raises PluginMistakes where a property fails, or returns what it must not."""
    if mistakes := list(_of_made(kind, plugin)):
        raise PluginMistakes(kind, name, mistakes)


# --- the class ---
@lru_cache(maxsize=512)
def _of_class(kind: str, plugin: Any) -> tuple[str, ...]:
    if not isinstance(plugin, type):
        return (f"is no class, but {article(type(plugin).__name__)}",)
    mistakes = list(_of_dataclass(kind, plugin))
    for member in members(KINDS[kind]):
        mistakes += _of_member(plugin, member, required=True)
    for capability in _CAPABILITIES[kind]:
        for member in members(capability):
            mistakes += _of_member(plugin, member, required=False)
    return tuple(mistakes)


def _of_dataclass(kind: str, plugin: type) -> Iterator[str]:
    if not dataclasses.is_dataclass(plugin):
        yield "is no dataclass: `@dataclass(frozen=True, kw_only=True)`"
        return
    if not plugin.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "is not frozen: `@dataclass(frozen=True, kw_only=True)`"
    try:
        typing.get_type_hints(plugin)
    except Exception as error:  # an annotation may be any expression
        yield f"types of its settings cannot be read: {type(error).__name__}: {error}"
    for field in dataclasses.fields(plugin):
        spelled = field.metadata.get("spelled") or field.name
        is_setting = "help" in field.metadata
        if is_setting and spelled in RESERVED[kind]:
            yield f"has a setting `{spelled}`, which an entry of a playbook has itself"
        elif field.init and not is_setting and _has_no_default(field):
            yield f'field `{field.name}` has neither a default nor `setting("what it is")`'


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _of_member(plugin: type, member: Member, *, required: bool) -> Iterator[str]:
    try:
        found = inspect.getattr_static(plugin, member.name)
    except AttributeError:
        found = None
    is_field = dataclasses.is_dataclass(plugin) and member.name in {
        field.name for field in dataclasses.fields(plugin)
    }
    if found is None and not is_field:
        if required:
            yield f"has no `{member}`"
    elif member.parameters is None:
        if _is_function(found):
            yield f"`{member.name}` is a method, not a property or an attribute"
        elif is_field and isinstance(found, property):
            yield f"setting `{member.name}` needs a default: a base class has it as a property"
        elif not is_field and not hasattr(found, "__get__"):  # an attribute, the same in each one
            yield from _of_answer(member, found)
    elif is_field or not _is_function(found):
        yield f"`{member.name}` is no method: it is asked as `{member}`"
    else:
        yield from _of_method(plugin, member)


def _is_function(found: Any) -> bool:
    return isinstance(found, staticmethod | classmethod) or (
        callable(found) and not isinstance(found, type)
    )


def _of_method(plugin: type, member: Member) -> Iterator[str]:
    """Whether it can be called as the engine does: by position, or by the contract's names."""
    static = inspect.getattr_static(plugin, member.name)
    bound = isinstance(static, staticmethod | classmethod)
    method = getattr(plugin, member.name)
    if inspect.iscoroutinefunction(method):
        yield f"`{member.name}` is a coroutine: a method does its one thing at once"
        return
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # of C: it says nothing of its parameters
        return
    given = [] if bound else [None]
    named: dict[str, None] = {}
    for parameter in member.parameters or ():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            named[parameter.name] = None
        else:
            given.append(None)
    try:
        signature.bind(*given, **named)
    except TypeError:
        words = ", ".join(list(signature.parameters)[0 if bound else 1 :])
        yield f"`{member.name}({words})` cannot be asked as `{member}`"
    returns = _annotated(method)
    if are_strangers(returns, member.returns):
        said, wanted = spoken(returns), spoken(member.returns)
        yield f"`{member}` returns {said} by its annotation, not {wanted}"


def _annotated(method: Any) -> Any:
    """What it returns by its annotation, `Any` where it has none that can be read now: parameters
    may be of types that are imported for type checkers alone.
    """
    function = inspect.unwrap(method)
    annotations = {"return": getattr(function, "__annotations__", {}).get("return", Any)}
    names = getattr(function, "__globals__", {})
    try:
        hints = typing.get_type_hints(SimpleNamespace(__annotations__=annotations), names)
    except Exception:  # an annotation may be any expression, and need not be right to be called
        return Any
    return hints["return"]


@lru_cache
def members(contract: type) -> tuple[Member, ...]:
    """The members of a Protocol, in its own order."""
    return tuple(
        _member(name, found)
        for name, found in vars(contract).items()
        if not name.startswith("_") and (isinstance(found, property) or inspect.isfunction(found))
    )


def _member(name: str, found: Any) -> Member:
    function = found.fget if isinstance(found, property) else found
    returns = typing.get_type_hints(function)["return"]
    if isinstance(found, property):
        return Member(name, None, returns)
    return Member(name, tuple(inspect.signature(found).parameters.values())[1:], returns)


def capabilities(kind: str) -> tuple[type, ...]:
    """The protocols of what a plugin of this kind may have besides."""
    return (*_CAPABILITIES[kind], *((provider.Supplied,) if kind == "provider" else ()))


@lru_cache(maxsize=512)
def called(kind: str, plugin: Any) -> tuple[Member, ...]:
    """The members of a class that ask its system: methods, of its capabilities, too."""
    return tuple(
        member
        for contract in (KINDS[kind], *capabilities(kind))
        for member in members(contract)
        if member.parameters is not None or member.name in _ASKS
        if hasattr(plugin, member.name)
    )


# --- what was made of it ---
def _of_made(kind: str, plugin: Any) -> Iterator[str]:
    its_class: Any = type(plugin)
    mistakes = [
        text for member in _evaluated(kind, its_class) for text in _of_value(plugin, member)
    ]
    yield from mistakes
    if kind == "provider" and not mistakes and plugin.supplied:
        for member in members(provider.Supplied):
            yield from _of_member(type(plugin), member, required=True)


@lru_cache(maxsize=512)
def _evaluated(kind: str, plugin: Any) -> tuple[Member, ...]:
    """Of a class the properties that are looked at in each one that is made of it."""
    fields = {field.name for field in dataclasses.fields(plugin)}  # those without a default, too
    return tuple(
        member
        for contract in (KINDS[kind], *_CAPABILITIES[kind])
        for member in members(contract)
        if member.parameters is None and member.name not in _ASKS
        if contract is KINDS[kind] or member.name in fields or hasattr(plugin, member.name)
    )


def _of_value(plugin: Any, member: Member) -> Iterator[str]:
    try:
        value = getattr(plugin, member.name)
    except Exception as error:  # of its own code, which may raise anything
        yield f"`{member.name}` raises {type(error).__name__}: {error}"
        return
    yield from _of_answer(member, value)


def _of_answer(member: Member, value: Any) -> Iterator[str]:
    if wrong := misfit(value, member.returns):
        yield f"`{member}{wrong.where}` is {wrong.what}"
    elif member.name == "name" and not value:
        yield "`name` is empty: the journal knows it by its name"
