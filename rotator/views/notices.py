"""Who is told of what, and what of it was not sent. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rotator.errors import RotatorError
from rotator.journal import notices
from rotator.journal.notices import Outstanding
from rotator.playbook.playbook import ChannelEntry
from rotator.usecases.runtime import Runtime
from rotator.usecases.trial import channels


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """`entry` is None where something waits for a channel that is not there any more."""

    name: str
    entry: ChannelEntry | None
    left: Outstanding

    @property
    def well(self) -> bool:
        """Whether nothing was given up, and its last try did not fail."""
        return not self.left.given_up and not self.left.error


def status(runtime: Runtime, names: Iterable[str] = ()) -> list[ChannelStatus]:
    """Raises ConfigError for a name that nobody knows, JournalError."""
    asked = tuple(names)
    entries = {one.name: one for one in channels(runtime, asked)}
    with runtime.journal.database.read() as connection:
        left = notices.outstanding(connection)
    every = [*entries, *(sorted(left.keys() - entries.keys()) if not asked else ())]
    return [
        ChannelStatus(name, entries.get(name), left.get(name, Outstanding(name))) for name in every
    ]


def unusable(entry: ChannelEntry) -> RotatorError | None:
    """Why it could not send now, as far as that is known without sending."""
    try:
        entry.channel.check()
    except RotatorError as error:
        return error
    return None
