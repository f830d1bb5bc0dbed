"""The contract of a restarter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from rotator.errors import TransientError
from rotator.model import Change, Credential, Evidence, NotYet, Progress, single
from rotator.plugin import Restarter, Shared
from rotator.secret import Secret
from rotator.testing.plugins import (
    NO_ANSWER,
    PluginContract,
    assert_findings,
    assert_hidden,
    assert_named,
    missing,
    wait_for,
)

_CLOCK = 1.0  # seconds by which the system's clock may differ, where it runs beside the tests


class RestarterContract(PluginContract):
    """What the engine relies on in every restarter.

    Fixtures of the subclass:

    - `uses`: the name by which playbooks use the plugin.
    - `restarter`: the plugin; its consumers run, and have read the value `first`.
    - `put`: writes a value where consumers read it when they start, as a store would.
    - `unreachable` (optional): the plugin, where its system does not answer.

    `patience`: seconds that a restart may take. `exact`: seconds by which two readings of one start
    may differ, more where the system's clock is read over a network.
    """

    kind = "restarter"
    first: ClassVar[str] = "old-value"
    second: ClassVar[str] = "new-value"
    patience: ClassVar[float] = 10.0
    exact: ClassVar[float] = 0.05

    @pytest.fixture
    def restarter(self) -> Any:
        raise missing(self, "restarter")

    @pytest.fixture
    def put(self) -> Callable[[str], object]:
        raise missing(self, "put")

    @pytest.fixture
    def plugin(self, restarter: Any) -> Any:
        return restarter

    def test_a_restart_converges_and_shows_its_evidence(
        self, restarter: Restarter, put: Callable[[str], object]
    ) -> None:
        """Before it nothing runs with the change, after it everything does, and shows by what."""
        put(self.second)
        change = _change(self.second)
        if restarter.evidence is not Evidence.NONE:
            assert not restarter.progress(change).converged
        progress = self.restarted(restarter, change)
        assert progress.current == progress.total
        if restarter.evidence in (Evidence.STARTED, Evidence.READ):
            assert progress.instances
        if restarter.evidence is Evidence.STARTED:
            for instance in progress.instances:
                assert instance.started_at is not None
                assert change.since < instance.started_at < time.time() + _CLOCK
        if restarter.evidence is Evidence.READ:
            assert _holding(progress) == [self.second] * len(progress.instances)

    def test_a_repeated_restart_of_one_change_restarts_nothing_more(
        self, restarter: Restarter, put: Callable[[str], object]
    ) -> None:
        """It is repeated where a run ended before its outcome was recorded."""
        put(self.second)
        change = _change(self.second)
        before = self.restarted(restarter, change)
        time.sleep(2 * self.exact)
        self.restart(restarter, change)
        time.sleep(2 * self.exact)
        assert _run_on(before, restarter.progress(change), self.exact)

    def test_what_instances_hold_is_read_and_not_assumed(self, restarter: Restarter) -> None:
        """They start again, but nobody has put the new value where they read it."""
        before = restarter.shown(_change(self.first))
        time.sleep(2 * self.exact)
        change = _change(self.second)
        self.restart(restarter, change)
        if restarter.evidence not in (Evidence.STARTED, Evidence.READ):
            assert not _holding(restarter.shown(change))
            return
        is_read = restarter.evidence is Evidence.READ
        after = wait_for(
            lambda: restarter.shown(change),
            lambda seen: _started_again(before, seen, is_read, self.exact),
            self.patience,
        )
        assert set(_holding(after)) == ({self.first} if is_read else set())

    def test_a_look_shows_what_runs_and_changes_nothing(self, restarter: Restarter) -> None:
        """A key dies only once no instance shows it; the key in force may not be known."""
        before = restarter.shown(_change(self.first))
        time.sleep(2 * self.exact)
        assert_findings(restarter.preflight())
        unknown = restarter.shown(Change("kit.look", time.time(), Credential({})))
        assert _run_on(before, unknown, self.exact)
        if restarter.evidence is Evidence.STARTED:
            starts = [instance.started_at for instance in before.instances]
            assert starts and all(start is not None and start < time.time() for start in starts)
        if restarter.evidence is Evidence.READ:
            assert before.instances
            assert _holding(unknown) == [self.first] * len(before.instances)

    def test_one_restart_for_several_playbooks_takes_all_that_began_before_it(
        self, restarter: Restarter, put: Callable[[str], object]
    ) -> None:
        """Where it names what it restarts: such a change comes without a value, and each playbook
        asks with its own key how far it has come.
        """
        if not isinstance(restarter, Shared) or (name := restarter.shared_as()) is None:
            return  # it restarts for one playbook alone, and promises no more
        put(self.second)
        change = _change(self.second)
        self.restart(restarter, replace(change, credential=Credential({})))
        progress = wait_for(
            lambda: restarter.progress(change), lambda seen: seen.converged, self.patience
        )
        if restarter.evidence is Evidence.READ:
            assert _holding(progress) == [self.second] * len(progress.instances)
        assert restarter.shared_as() == name, "the same after a restart"

    def test_no_text_shows_a_value(
        self, restarter: Restarter, put: Callable[[str], object]
    ) -> None:
        assert_named(restarter)
        put(self.second)
        change = _change(self.second)
        progress = self.restarted(restarter, change)
        texts = [restarter.name, repr(restarter), repr(progress), progress.text]
        assert_hidden(texts, (self.first, self.second))

    def test_a_system_that_does_not_answer_is_asked_again_later(
        self, unreachable: Restarter
    ) -> None:
        """Anything else would undo the rotation, or be taken for a mistake of rotator."""
        with pytest.raises(NO_ANSWER):
            unreachable.restart(_change(self.second))
        with pytest.raises(NO_ANSWER):
            unreachable.shown(_change(self.second))

    # --- as the engine does ---
    def restart(self, restarter: Restarter, change: Change) -> None:
        """Calls it again while it is too early, or while there are further consumers."""
        end = time.monotonic() + self.patience
        while (delay := _delay(restarter, change)) is not None:
            assert time.monotonic() < end, f"not restarted within {self.patience:g} s"
            time.sleep(delay)

    def restarted(self, restarter: Restarter, change: Change) -> Progress:
        """The progress once it has converged."""
        self.restart(restarter, change)
        return wait_for(
            lambda: restarter.progress(change), lambda seen: seen.converged, self.patience
        )


def _delay(restarter: Restarter, change: Change) -> float | None:
    """Seconds until the next call, None where no further one is needed."""
    try:
        answer = restarter.restart(change)
    except TransientError as error:
        return error.retry_in or 0.05
    return min(answer.retry_in, 0.5) if isinstance(answer, NotYet) else None


def _change(value: str) -> Change:
    return Change("kit.new.1", time.time(), single(value))


def _holding(progress: Progress) -> list[str]:
    return [one.holds.reveal() for one in progress.instances if isinstance(one.holds, Secret)]


def _starts(progress: Progress) -> dict[str, float]:
    return {one.name: one.started_at or 0.0 for one in progress.instances}


def _run_on(before: Progress, after: Progress, exact: float) -> bool:
    """The same instances run, and none of them has started again."""
    earlier, later = _starts(before), _starts(after)
    return earlier.keys() == later.keys() and all(
        abs(later[name] - start) < exact for name, start in earlier.items()
    )


def _started_again(before: Progress, after: Progress, is_read: bool, exact: float) -> bool:
    """Each instance has started since, and shows what it holds where that is read."""
    earlier, later = _starts(before), _starts(after)
    shows = not is_read or all(one.holds is not None for one in after.instances)
    return (
        shows
        and bool(later)
        and all(abs(start - earlier.get(name, 0.0)) > exact for name, start in later.items())
    )
