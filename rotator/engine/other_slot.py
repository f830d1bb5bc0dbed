"""Of a credential with two slots: whether anybody that rotator can see holds the other key.

A rotation makes that one anew, which ends it at once; what cannot be seen is refused.
"""

from __future__ import annotations

from rotator.engine.measure import Measured
from rotator.errors import RefusedError
from rotator.journal import credentials
from rotator.journal.journal import Journal
from rotator.model import Overlap
from rotator.playbook.playbook import Playbook


def must_be_free(journal: Journal, playbook: Playbook, measured: Measured) -> None:
    """Raises RefusedError where it is held, or may be; and what the provider raises."""
    if playbook.provider.overlap is not Overlap.TWO_SLOTS:
        return
    slot = playbook.provider.reread(measured.old)
    if slot is None:
        return
    if measured.untold:
        name = measured.untold[0]
        raise RefusedError(
            f"{name} does not show which of the two keys it holds, and the other one is made anew",
            "if it has the key of the other stores, empty it, and say `create: true` in its entry:"
            " the rotation fills it",
        )
    fingerprint = journal.fingerprint(slot.values)
    if fingerprint in measured.shown:
        raise RefusedError(
            f"a consumer has the other key ({slot.hint}), which a rotation makes anew",
            "restart it, once it reads what the stores hold",
        )
    with journal.database.read() as connection:
        other = credentials.known_anywhere(connection, fingerprint, playbook.name)
    if other:
        raise RefusedError(
            f"the playbook {other} has the other key ({slot.hint}), which a rotation makes anew",
            "one playbook for both: all stores and consumers of either key",
        )
