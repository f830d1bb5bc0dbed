"""Groups of playbooks: of each group one rotation is active at most, over all machines."""

from __future__ import annotations

from sqlalchemy import Connection, select

from rotator.errors import BusyError
from rotator.journal import tables
from rotator.journal.database import serialise

_ROTATIONS = tables.rotations


class GroupHeld(BusyError):
    """Another playbook of the group is being rotated. Exit code 75."""

    def __init__(self, playbook: str, holder: str, group: str) -> None:
        super().__init__(
            f"{playbook} waits for {holder} of group {group}",
            f"`rotator show {holder}`; a leaked key waits for nobody:"
            f" `rotate {playbook} --compromised`",
        )
        self.playbook, self.holder, self.group = playbook, holder, group


def holder(connection: Connection, group: str, playbook: str) -> str:
    """The other playbook of the group whose rotation has begun and has not ended; '' where none
    is.
    """
    found = connection.execute(
        select(_ROTATIONS.c.playbook).where(
            tables.ACTIVE, _ROTATIONS.c.in_group == group, _ROTATIONS.c.playbook != playbook
        )
    ).scalar()
    return str(found or "")


def must_be_free(connection: Connection, group: str, playbook: str) -> None:
    """Until this transaction ends, nobody else begins one. Raises GroupHeld."""
    serialise(connection)
    if other := holder(connection, group, playbook):
        raise GroupHeld(playbook, other, group)
