"""What holds for plugins of all kinds, and what the four contracts share."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

import pytest

from rotator.errors import OutcomeUnknown, RotatorError, TransientError
from rotator.model import Finding
from rotator.playbook.registry import Registry
from rotator.plugin.answers import answering
from rotator.plugin.conform import called

# What the engine takes for "the system did not answer": it asks again, or looks what happened.
NO_ANSWER = (TransientError, OutcomeUnknown)

T = TypeVar("T")


class PluginContract:
    """A plugin is a frozen dataclass whose fields are its settings.

    `kind` is set by the contract of each kind.
    """

    kind: ClassVar[str]

    @pytest.fixture
    def uses(self) -> str:
        """The name by which playbooks use the plugin."""
        raise missing(self, "uses")

    @pytest.fixture
    def plugin(self) -> Any:
        raise missing(self, "plugin")

    @pytest.fixture
    def unreachable(self) -> Any:
        """The plugin, where its system does not answer."""
        not_provided("unreachable")

    @pytest.fixture(autouse=True)
    def _answers_are_of_their_types(
        self, request: pytest.FixtureRequest, uses: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In each test of the contract, as in a rotation: else the error names plugin and
        member.
        """
        asked = "unreachable" if "unreachable" in request.fixturenames else "plugin"
        its_class: Any = type(request.getfixturevalue(asked))
        for member in called(self.kind, its_class):
            found = inspect.getattr_static(its_class, member.name)
            watch = functools.partial(answering, f"{self.kind}.{uses}", member)
            if inspect.isfunction(found):
                monkeypatch.setattr(its_class, member.name, watch(found))
            elif isinstance(found, property) and found.fget:
                monkeypatch.setattr(its_class, member.name, property(watch(found.fget)))

    def test_it_is_found_by_its_name_and_keeps_its_settings(self, plugin: Any, uses: str) -> None:
        """By the entry point `KIND.NAME` of the group `rotator.plugins`, as `rotator` finds it; a
        rotation that is carried on days later has the settings that it began with.
        """
        assert Registry().find(self.kind, uses) is type(plugin)
        assert dataclasses.is_dataclass(plugin)
        parameters: Any = vars(type(plugin))["__dataclass_params__"]
        assert parameters.frozen, "@dataclass(frozen=True, kw_only=True)"
        without_setting = [
            field.name
            for field in dataclasses.fields(plugin)
            if field.init and _is_required(field) and "help" not in field.metadata
        ]
        assert not without_setting, "no playbook can give them: declare them by setting(…)"


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing_default = field.default is dataclasses.MISSING
    return missing_default and field.default_factory is dataclasses.MISSING


def missing(contract: object, fixture: str) -> NotImplementedError:
    """What a contract's own fixture raises where the subclass provides none."""
    return NotImplementedError(f"{type(contract).__name__} provides no fixture `{fixture}`")


def not_provided(fixture: str) -> Any:
    """Skips the tests of an optional fixture."""
    pytest.skip(f"no fixture `{fixture}` is provided")


def assert_named(plugin: Any) -> None:
    """The journal tells stores, consumers and probes apart by name, also after a restart."""
    name = plugin.name
    assert isinstance(name, str)
    assert name.strip() and len(name.splitlines()) == 1, repr(name)
    assert dataclasses.replace(plugin).name == name, "the same settings, another name"


def assert_findings(findings: Iterable[Finding]) -> None:
    assert all(isinstance(finding, Finding) for finding in findings)


def assert_hidden(texts: Iterable[str], values: Iterable[str]) -> None:
    """No text shows one of the values."""
    shown = [text for text in texts if any(value in text for value in values)]
    assert not shown, "the value of a key is shown"


def text_of(error: RotatorError) -> str:
    """All that a person reads of an error."""
    return f"{error.message} {error.hint}"


def wait_for(look: Callable[[], T], is_right: Callable[[T], object], seconds: float) -> T:
    """The first look that is right. Fails after so many seconds."""
    end = time.monotonic() + seconds
    while not is_right(seen := look()):
        assert time.monotonic() < end, f"after {seconds:g} s: {seen}"
        time.sleep(0.02)
    return seen


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Fails after so many seconds."""
    wait_for(condition, bool, seconds)
