"""A notice to try a channel: sent at once, beside all that waits."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rotator.errors import ConfigError, RotatorError
from rotator.notices import outbox
from rotator.playbook.mistakes import nearest
from rotator.playbook.playbook import ChannelEntry
from rotator.usecases.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Trial:
    """`error`: why it was not taken, None where it was."""

    channel: str
    error: RotatorError | None


def channels(runtime: Runtime, names: Iterable[str]) -> list[ChannelEntry]:
    """All channels, or those of these names: a channel's, or a playbook's.

    Raises ConfigError for a name of neither, and for settings that are wrong.
    """
    loaded, who = runtime.playbooks(), runtime.addressees()
    own = {name: book.channels for name, book in sorted(loaded.playbooks.items())}
    every = {
        one.name: one for one in (*who.of_all, *(one for each in own.values() for one in each))
    }
    asked = list(names)
    if not asked:
        return list(every.values())
    found: dict[str, ChannelEntry] = {}
    for name in asked:
        if name in every:
            found[name] = every[name]
        elif name in own:
            found |= {one.name: one for one in own[name]}
        else:
            raise ConfigError(
                f"there is no channel, and no playbook, '{name}'", nearest(name, [*every, *own])
            )
    return list(found.values())


def tries(runtime: Runtime, entries: Iterable[ChannelEntry]) -> Iterator[Trial]:
    """One after the other, as it is seen."""
    for entry in entries:
        notice = outbox.trial(socket.gethostname(), runtime.clock.now())
        yield Trial(entry.name, outbox.tried(entry, notice))
