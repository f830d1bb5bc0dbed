"""What a plugin of somebody else answers, looked at in every call.

A class can be checked when it is loaded, what its methods return only when they have been asked.
Whatever is not of the contract's type, or raises what no contract knows, becomes an error that
names plugin and member; else it would fail later, in the engine, as a mistake of rotator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rotator.errors import OutcomeUnknown, PermanentError, RotatorError, Unreadable
from rotator.plugin import conform
from rotator.plugin.typed import misfit
from rotator.plugin.unforeseen import UNFORESEEN
from rotator.secret import redact

_HINT = "this is a mistake in the plugin: please report it to those who make it"
# A key may have been made, a value may stand in the store: it is looked for, not just repeated
_UNUSABLE: dict[str, type[RotatorError]] = {"generate": Unreadable, "write": OutcomeUnknown}
_FAILED: dict[str, type[RotatorError]] = {"generate": OutcomeUnknown}


@functools.lru_cache(maxsize=512)
def watched(kind: str, name: str, plugin: Any) -> Any:
    """The plugin's class with its members watched: a subclass, with the same fields."""
    about = {"__slots__": (), "__doc__": plugin.__doc__, "__module__": plugin.__module__}
    made = type(plugin.__name__, (plugin,), about)
    made.__qualname__ = plugin.__qualname__
    for member in conform.called(kind, plugin):
        setattr(made, member.name, _of_base(f"{kind}.{name}", member, made, plugin))
    return made


def _of_base(plugin: str, member: conform.Member, made: type[Any], base: type[Any]) -> Any:
    """The base's member, found when it is asked, as in any subclass."""
    if member.parameters is None:
        return property(answering(plugin, member, lambda self: _inherited(made, self, member)))

    @functools.wraps(getattr(base, member.name))
    def ask(self: Any, *given: Any, **named: Any) -> Any:
        return _inherited(made, self, member)(*given, **named)

    return answering(plugin, member, ask)


def _inherited(made: type[Any], plugin: Any, member: conform.Member) -> Any:
    return getattr(super(made, plugin), member.name)


def answering(plugin: str, member: conform.Member, ask: Callable[..., Any]) -> Callable[..., Any]:
    """As `ask`, but what it must not return or raise is an error that names plugin and member."""

    @functools.wraps(ask)
    def asked(*given: Any, **named: Any) -> Any:
        try:
            answer = ask(*given, **named)
        except RotatorError:
            raise
        except UNFORESEEN as error:
            text = redact(f"{plugin}: `{member}` raised {type(error).__name__}: {error}")
            raise _FAILED.get(member.name, PermanentError)(text, _HINT) from error
        if wrong := misfit(answer, member.returns):
            text = f"{plugin}: `{member}{wrong.where}` is {wrong.what}"
            raise _UNUSABLE.get(member.name, PermanentError)(text, _HINT)
        return answer

    return asked
