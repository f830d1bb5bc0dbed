"""docs/plugin-reference.md: each member of each contract, and the types and errors that they use."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rotator import errors, model
from rotator.plugin import (
    Address,
    ProbeDefaults,
    ProviderDefaults,
    RestarterDefaults,
    StoreDefaults,
    conform,
    setting,
)
from rotator.reference import Reference
from rotator.secret import Secret, hint_of, redact

_DEFAULTS: Mapping[str, type] = {
    "provider": ProviderDefaults,
    "store": StoreDefaults,
    "restarter": RestarterDefaults,
    "probe": ProbeDefaults,
}
_LEVELS = (
    "Of a preflight: what is `ERROR` refuses the rotation before anything is changed, what is"
    " `WARNING` is shown."
)
_OPTIONS = {
    "help": "what it is: its line in `rotator plugins NAME`",
    "default": "its value where a playbook does not say it; without a default it must be said",
    "default_factory": "makes the default: `list`, `dict`, a settings class",
    "connection": "how the system is reached (address, credential): a rotation that is carried on"
    " takes it from today's playbook, all else from the one that it began with",
    "alias": "its name in a playbook, where the field must have another one",
    "path": "a file: absolute when the plugin gets it; a relative one begins in the playbook's"
    " folder",
    "elsewhere": "the name of a setting: where that one is given, the path is another machine's",
    "program": "a list of program and arguments: a path in its first word is made absolute, too",
    "runs": "a file that may name programs: it is obeyed by owner and mode, as a program is",
}


def plugins() -> str:
    """Every member, from the contracts themselves."""
    lines = [
        "# Plugin reference\n",
        "Every member of the contracts, and what they hand over. How a plugin is written: [write a"
        " plugin](plugins.md). `yours` stands where nothing can be inherited. Times are Unix"
        " seconds, lengths are seconds.\n",
    ]
    for kind, contract in conform.KINDS.items():
        lines += [f"## A {kind}\n", *_contract(kind, contract)]
        lines += [*_capabilities(kind)]
    lines += ["## Settings\n", *_settings()]
    lines += ["## What is handed over\n", *_types()]
    return "\n".join([*lines, "## Errors\n", *_errors()])


def _contract(kind: str, contract: type) -> Iterator[str]:
    yield _prose(contract.__doc__).partition(" Example")[0].rstrip() + "\n"
    defaults = _DEFAULTS[kind]
    yield f"`{defaults.__name__}`: {_prose(defaults.__doc__)}\n"
    yield "| member | by default | meaning |"
    yield "|---|---|---|"
    for member in conform.members(contract):
        found = vars(contract)[member.name]
        yield f"| `{_signature(member, found)}` | {_default(defaults, member)} | {_doc(found)} |"
    yield ""


def _capabilities(kind: str) -> Iterator[str]:
    yield "What it may have besides:\n"
    yield "| protocol | member | meaning |"
    yield "|---|---|---|"
    for capability in conform.capabilities(kind):
        for member in conform.members(capability):
            found = vars(capability)[member.name]
            words = f"{_doc(capability)} {_doc(found)}"
            yield f"| `{capability.__name__}` | `{_signature(member, found)}` | {words} |"
    yield ""


def _signature(member: conform.Member, found: Any) -> str:
    function = found.fget if isinstance(found, property) else found
    signature = inspect.signature(function)
    returns = _typed(signature.return_annotation)
    if member.parameters is None:
        return f"{member.name}: {returns}"
    given = [f"{one.name}: {_typed(one.annotation)}" for one in member.parameters]
    keyword = any(one.kind is inspect.Parameter.KEYWORD_ONLY for one in member.parameters)
    return f"{member.name}({', '.join(['*'] * keyword + given)}) → {returns}"


def _typed(annotation: Any) -> str:
    """As it is written; a bar would end the cell of a table."""
    return str(annotation).replace(" | ", " or ")


def _default(defaults: type, member: conform.Member) -> str:
    if not hasattr(defaults, member.name):
        return "yours"
    if member.parameters is None:
        value = getattr(defaults(), member.name)
        return f"`{value.value if isinstance(value, enum.Enum) else value!r}`"
    said = _doc(vars(defaults)[member.name])
    if said:
        return said
    answer = re.search(
        r"(?:return|raise) (\w+|\S+)", inspect.getsource(vars(defaults)[member.name])
    )
    assert answer, member
    return f"`{answer[1]}`"


def _settings() -> Iterator[str]:
    parameters = list(inspect.signature(setting).parameters)
    assert list(_OPTIONS) == parameters, "each option has its line"
    yield "A field `name: type = setting(…)`:\n"
    yield "| option | meaning |"
    yield "|---|---|"
    for name in parameters:
        yield f"| `{name}` | {_OPTIONS[name]} |"
    yield ""


def _types() -> Iterator[str]:
    yield "From `rotator.model`, `Address` from `rotator.plugin`.\n"
    kinds = [one for one in vars(model).values() if inspect.isclass(one)]
    ours = [one for one in kinds if one.__module__ == model.__name__]
    for kind in [*(one for one in ours if dataclasses.is_dataclass(one)), Address]:
        fields = ", ".join(_field(field) for field in dataclasses.fields(kind))
        yield f"`{kind.__name__}({fields})`\n"
        methods = [f"`{name}`: {_doc(found)}" for name, found in _members(kind)]
        yield " ".join([_prose(kind.__doc__), *methods]) + "\n"
    yield "| one of | |"
    yield "|---|---|"
    for kind in ours:
        if issubclass(kind, enum.Enum):
            values = ", ".join(f"`{kind.__name__}.{one.name}`" for one in kind)
            yield f"| {values} | {_LEVELS if kind is model.Level else _doc(kind)} |"
    yield ""
    yield "| from elsewhere | |"
    yield "|---|---|"
    yield f"| `rotator.model.single(text, key_id=…, hint=…)` | {_doc(model.single)} |"
    yield f"| `rotator.secret.Secret(text)` | {_doc(Secret)} |"
    yield f"| `rotator.secret.redact(text)` | {_doc(type(redact))} |"
    yield f"| `rotator.secret.hint_of(text)` | {_doc(hint_of)} |"
    yield f"| `rotator.reference.Reference` | {_doc(Reference)} |"
    yield f"| `Reference.resolve()` | {_doc(Reference.resolve)} |"
    yield ""


def _members(kind: type) -> Iterable[tuple[str, Any]]:
    for name, found in vars(kind).items():
        documented = inspect.isfunction(found) and not name.startswith("_")
        if documented and found.__doc__:
            given = ", ".join(list(inspect.signature(found).parameters)[1:])
            yield f"{name}({given})", found


def _field(field: dataclasses.Field[Any]) -> str:
    text = f"{field.name}: {_typed(field.type)}"
    if field.default is not dataclasses.MISSING:
        return f"{text} = {field.default!r}"
    return text if field.default_factory is dataclasses.MISSING else f"{text} = {{}}"


def _errors() -> Iterator[str]:
    yield "From `rotator.errors`, each made by `(message, hint)`; a hint may be left out.\n"
    yield "| raise | a kind of | where |"
    yield "|---|---|---|"
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and errors.PluginError in kind.__mro__[1:]:
            base = kind.__bases__[0]
            above = "" if base is errors.PluginError else f"`{base.__name__}`"
            yield f"| `{name}` | {above} | {_doc(kind)} |"
    yield ""


def _doc(found: Any) -> str:
    """In one line, as a cell of a table has it."""
    return " ".join((inspect.getdoc(found) or "").split()).replace("|", "or")


def _prose(docstring: str | None) -> str:
    return " ".join(inspect.cleandoc(docstring or "").split())
