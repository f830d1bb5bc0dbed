"""A restarter makes consumers take the new key up: its contract, and what to inherit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rotator.model import Change, Evidence, Finding, NotYet, Progress
from rotator.plugin.capabilities import Address


class Restarter(Protocol):
    """Makes consumers take the new key up.

    A frozen dataclass with the members below; `RestarterDefaults` has `preflight`. It never waits:
    the engine asks `progress` again until it has converged. A method raises `TransientError` where
    it may be asked again later, `PermanentError` and its kin, with the system's own reason, where a
    restart has failed.

    Example:

        @dataclass(frozen=True, kw_only=True)
        class AcmeRestarter(RestarterDefaults):

            jobs: list[str] = setting("Names of the jobs")
            evidence = Evidence.STARTED

            @property
            def name(self) -> str: ...
            def restart(self, change: Change) -> NotYet | None: ...
            def progress(self, change: Change) -> Progress: ...
            def shown(self, change: Change) -> Progress: ...
    """

    @property
    def name(self) -> str:
        """Unique in a playbook and the same tomorrow: the journal knows the consumer by it."""

    @property
    def evidence(self) -> Evidence:
        """The best that this restarter can show: `read` with `Instance.holds`, `started` with
        `Instance.started_at`, `answers` with `converged` alone, `none`.
        """

    def preflight(self) -> list[Finding]:
        """What would hinder a restart: permissions, a consumer that is ill already. Changes
        nothing.
        """

    def restart(self, change: Change) -> NotYet | None:
        """Order the restart. Idempotent per change.

        NotYet: ask again, the next consumers wait for these to be ready. One that is down goes
        before those that serve: on the way back nobody else would be left.
        """

    def progress(self, change: Change) -> Progress:
        """How many run with the change, by what evidence.

        Raises PermanentError with the system's reason.
        """

    def shown(self, change: Change) -> Progress:
        """What instances hold now, whether they were restarted or not: a key dies by this.

        `change.credential` is the key in force and `change.since` (Unix seconds) since when the
        stores hold it; `change.id` stands for no restart. `converged` counts where there are no
        instances, or where the evidence is `answers`.
        """


class RestarterDefaults:
    """What holds for a restarter that foresees nothing of its own."""

    def preflight(self) -> list[Finding]:
        return []


@runtime_checkable
class Beside(Protocol):
    """A restarter that must know what the playbook's stores write."""

    def beside(self, addresses: Sequence[Address]) -> Restarter:
        """Itself with it. Raises ConfigError."""


@runtime_checkable
class Shared(Protocol):
    """A restarter that can name what it restarts: then one restart serves several playbooks."""

    def shared_as(self) -> str | None:
        """The same text for two restarters, in any playbook on any machine, exactly where a restart
        by either makes all that the other restarts read anew, in the same way: the system, the
        thing, and how it is restarted. None where nobody can name it.

        Then a change that serves several comes without a value (`change.credential` is empty), and
        `restart` takes whatever began before `change.since`. `progress` may be asked for a change
        that another of this name ordered. May ask the system; raises as the other methods do.
        """


@runtime_checkable
class EnvFileReader(Protocol):
    """A restarter that knows how its consumers get the variables of a .env file."""

    def env_reader(self, host: str | None, path: str) -> str:
        """The reader of this file (`docker`, `compose`, `systemd`), '' where it is none, or cannot
        be told.
        """


@runtime_checkable
class KeepsMounts(Protocol):
    """A restarter that may leave a consumer's mounts as they are."""

    @property
    def keeps_mounts(self) -> bool:
        """Whether a file that is mounted by itself stays the one from before a restart."""
