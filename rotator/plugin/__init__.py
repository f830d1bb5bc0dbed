"""What a plugin is: a frozen dataclass whose fields are its settings, of one of four kinds.

It declares what it is and does one thing per method, at once, with a time-out. It never sleeps,
polls, retries or logs: the engine owns time. Raises `TransientError` (ask later), `PermanentError`
and its kin (do not), `OutcomeUnknown` (it may have happened). How one is written: docs/plugins.md.
"""

from rotator.plugin.capabilities import Address, Local, UsualAddress, has
from rotator.plugin.integration import Integration, Wrapping
from rotator.plugin.probe import AsksWithKey, Foreseen, Probe, ProbeDefaults
from rotator.plugin.provider import (
    Console,
    ConsoleSteps,
    Destroying,
    Inheriting,
    InSteps,
    Probing,
    Provider,
    ProviderDefaults,
    Slotted,
    Supplied,
    Told,
    can_probe,
    console_of,
)
from rotator.plugin.restarter import (
    Beside,
    EnvFileReader,
    KeepsMounts,
    Restarter,
    RestarterDefaults,
    Shared,
)
from rotator.plugin.settings import (
    STRICT,
    beside_settings,
    own_variables,
    playbook_folder,
    setting,
    values_of,
)
from rotator.plugin.store import (
    Addressed,
    Copied,
    Fitting,
    KeyFields,
    Mounted,
    Nudged,
    ReadBy,
    Several,
    Store,
    StoreDefaults,
    WithEntry,
)
from rotator.plugin.unforeseen import UNFORESEEN

__all__ = [
    "STRICT",
    "UNFORESEEN",
    "Address",
    "Addressed",
    "AsksWithKey",
    "Beside",
    "Console",
    "ConsoleSteps",
    "Copied",
    "Destroying",
    "EnvFileReader",
    "Fitting",
    "Foreseen",
    "InSteps",
    "Inheriting",
    "Integration",
    "KeepsMounts",
    "KeyFields",
    "Local",
    "Mounted",
    "Nudged",
    "Probe",
    "ProbeDefaults",
    "Probing",
    "Provider",
    "ProviderDefaults",
    "ReadBy",
    "Restarter",
    "RestarterDefaults",
    "Several",
    "Shared",
    "Slotted",
    "Store",
    "StoreDefaults",
    "Supplied",
    "Told",
    "UsualAddress",
    "WithEntry",
    "Wrapping",
    "beside_settings",
    "can_probe",
    "console_of",
    "has",
    "own_variables",
    "playbook_folder",
    "setting",
    "values_of",
]
