"""Whether a key works: by its provider's own probe, else by the probes that ask with it."""

from __future__ import annotations

from rotator.errors import PluginError, Rejected, Unsupported
from rotator.model import Credential
from rotator.playbook.playbook import Playbook
from rotator.plugin import AsksWithKey, Probe


def surely_refused(playbook: Playbook, credential: Credential) -> bool:
    """Whether the provider refuses the key; False, too, where nobody can tell now."""
    try:
        return bool(credential.values) and is_refused(playbook, credential)
    except PluginError:
        return False


def is_refused(playbook: Playbook, credential: Credential) -> bool:
    """By the provider's own probe. Raises what else that raises, Unsupported too."""
    try:
        playbook.provider.probe(credential)
    except Rejected:
        return True
    return False


def refused_anywhere(playbook: Playbook, credential: Credential) -> bool:
    """By the provider, else by every probe that asks with the key.

    Raises Unsupported where nothing can ask.
    """
    try:
        return is_refused(playbook, credential)
    except Unsupported:
        asking = probes_with_key(playbook)
        if not asking:
            raise
        return all(_refuses(probe, credential) for probe in asking)


def must_be_accepted(playbook: Playbook, credential: Credential) -> None:
    """Raises Rejected, or Unsupported where nothing can ask."""
    try:
        playbook.provider.probe(credential)
    except Unsupported:
        asking = probes_with_key(playbook)
        if not asking:
            raise
        for probe in asking:
            probe.probe(credential)


def probes_with_key(playbook: Playbook) -> list[Probe]:
    """The playbook's probes that ask with the key by itself, not through a consumer."""
    return [
        probe for probe in playbook.probes if isinstance(probe, AsksWithKey) and probe.asks_with_key
    ]


def _refuses(probe: Probe, credential: Credential) -> bool:
    try:
        probe.probe(credential)
    except Rejected:
        return True
    return False
