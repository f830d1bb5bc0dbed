"""The contract of a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from rotator.errors import Conflict, Unsupported
from rotator.model import Held, Note, single
from rotator.plugin import Store, values_of
from rotator.testing.plugins import (
    NO_ANSWER,
    PluginContract,
    assert_findings,
    assert_hidden,
    assert_named,
    missing,
    not_provided,
    text_of,
)

NOTE = Note("key_1", "kit", "01ROTATION", 0.0)


class StoreContract(PluginContract):
    """What the engine relies on in every store.

    Fixtures of the subclass:

    - `uses`: the name by which playbooks use the plugin.
    - `store`: the plugin, at a place of its own that holds the value `first`.
    - `put`: writes a value there as somebody else would, past the plugin.
    - `absent` (optional): the plugin, at a place that holds nothing yet. Without it, the field
      `ANOTHER` of the same place, where the plugin has a setting `key`.
    - `unreachable` (optional): the plugin, where its system does not answer.

    A subclass may set other values where the store takes no such texts, and overrides `value_in`
    where the plugin only writes.
    """

    kind = "store"
    first: ClassVar[str] = "first-value"
    second: ClassVar[str] = "second-value"
    third: ClassVar[str] = "third-value"

    @pytest.fixture
    def store(self) -> Any:
        raise missing(self, "store")

    @pytest.fixture
    def put(self) -> Callable[[str], object]:
        raise missing(self, "put")

    @pytest.fixture
    def absent(self, store: Any) -> Any:
        if values_of(store).get("key") is None:
            not_provided("absent")
        return dataclasses.replace(store, key="ANOTHER")

    @pytest.fixture
    def plugin(self, store: Any) -> Any:
        return store

    def test_what_was_written_is_read_back(self, store: Store) -> None:
        before = _present(store)
        version = store.write(single(self.second), before.version, NOTE)
        after = _present(store)
        assert self.value_in(store) == self.second
        assert after.version == version != before.version
        assert (after.values is None) is store.write_only

    def test_a_write_over_a_newer_version_is_a_conflict(self, store: Store) -> None:
        """A process that froze and wakes up writes nothing."""
        version = _present(store).version
        store.write(single(self.second), version, NOTE)
        with pytest.raises(Conflict):
            store.write(single(self.third), version, NOTE)
        assert self.value_in(store) == self.second

    def test_a_write_that_expects_nothing_there_replaces_nothing(self, store: Store) -> None:
        with pytest.raises(Conflict):
            store.write(single(self.second), "", NOTE)
        assert self.value_in(store) == self.first

    def test_a_value_of_somebody_else_is_read_and_not_replaced(
        self, store: Store, put: Callable[[str], object]
    ) -> None:
        before = _present(store).version
        put(self.second)
        assert self.value_in(store) == self.second
        assert _present(store).version != before
        with pytest.raises(Conflict):
            store.write(single(self.third), before, NOTE)
        assert self.value_in(store) == self.second

    def test_a_place_that_holds_nothing_is_filled_and_no_other(
        self, store: Store, absent: Store
    ) -> None:
        assert absent.read() is None
        absent.write(single(self.second), "", NOTE)
        assert (self.value_in(absent), self.value_in(store)) == (self.second, self.first)

    def test_writing_the_same_value_again_is_another_version(self, store: Store) -> None:
        """Undo writes the old value again, so that a write of ours that arrives late is a conflict.

        A store that cannot tell the two apart says so by `compare_and_set`: preflight warns of it.
        """
        before = _present(store).version
        after = store.write(single(self.first), before, NOTE)
        assert after != before or not store.compare_and_set

    def test_the_old_value_can_be_put_back(self, store: Store) -> None:
        before = _present(store)
        version = store.write(single(self.second), before.version, NOTE)
        spelled = {store.name: before.spelled} if before.spelled is not None else {}
        store.write(dataclasses.replace(single(self.first), spelled=spelled), version, NOTE)
        assert self.value_in(store) == self.first

    def test_retiring_an_old_version_leaves_the_present_value(self, store: Store) -> None:
        """It is repeated where a run ended before its outcome was recorded."""
        before = _present(store).version
        store.write(single(self.second), before, NOTE)
        for _ in range(2):
            try:
                store.retire(before)
            except Unsupported:
                break
        assert self.value_in(store) == self.second

    def test_tidying_leaves_the_present_value(self, store: Store) -> None:
        store.tidy("")
        store.tidy(_present(store).version)
        assert self.value_in(store) == self.first

    def test_preflight_changes_nothing(self, store: Store) -> None:
        before = _present(store).version
        assert_findings(store.preflight())
        assert (self.value_in(store), _present(store).version) == (self.first, before)

    def test_no_text_shows_a_value(self, store: Store) -> None:
        assert_named(store)
        before = _present(store)
        store.write(single(self.second), before.version, NOTE)
        with pytest.raises(Conflict) as conflict:
            store.write(single(self.third), before.version, NOTE)
        findings = [f"{finding.text} {finding.hint}" for finding in store.preflight()]
        texts = [store.name, repr(store), repr(before), text_of(conflict.value), *findings]
        assert_hidden(texts, (self.first, self.second, self.third))

    def test_a_system_that_does_not_answer_is_asked_again_later(self, unreachable: Store) -> None:
        """Anything else would end the rotation, or be taken for a mistake of rotator."""
        with pytest.raises(NO_ANSWER):
            unreachable.read()
        with pytest.raises(NO_ANSWER):
            unreachable.write(single(self.second), "", NOTE)

    # --- what a subclass may see in another way ---
    def value_in(self, store: Store) -> str:
        """As the plugin reads it; a subclass asks the system where the plugin only writes."""
        return value_in(store)


def value_in(store: Store) -> str:
    """The primary value that the store holds, '' where it holds none."""
    present = store.read()
    if present is None or not present.values:
        return ""
    return next(iter(present.values.values())).reveal()


def _present(store: Store) -> Held:
    present = store.read()
    assert present is not None, "the store holds nothing"
    return present
