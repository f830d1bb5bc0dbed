"""What the folder of a neighbour offers: the table PLUGINS of each in rotator.integrations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Wrapping:
    """Who wraps the sealing key (`module:Class`), and how what it wrapped begins."""

    where: str
    prefix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Integration:
    """What the folder of a neighbour offers, by the names that playbooks use: each as
    `module:Class` of the folder.

    `extra` is the extra of rotator's distribution that installs what it needs.
    """

    providers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stores: Mapping[str, str] = dataclasses.field(default_factory=dict)
    restarters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    probes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    channels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    references: Mapping[str, str] = dataclasses.field(default_factory=dict)
    wrappers: Mapping[str, Wrapping] = dataclasses.field(default_factory=dict)
    extra: str = ""

    def of_kind(self, kind: str) -> Mapping[str, str]:
        """`kind` is provider, store, restarter, probe or channel."""
        return {
            "provider": self.providers,
            "store": self.stores,
            "restarter": self.restarters,
            "probe": self.probes,
            "channel": self.channels,
        }[kind]
