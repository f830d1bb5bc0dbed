"""Which variables of rotator's own environment no program gets that is not told to: those that hold
its credentials.

The application that a program restarts would have them, too: the administrator's key, the journal's
sealing key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from rotator.errors import NotFound

_OURS = "ROTATOR_"
# What SDKs read by themselves when a playbook names nothing else: ours, and those of programs that
# are started.
_SDKS = ("AWS_",)
_SDK = frozenset(
    {"VAULT_TOKEN", "BAO_TOKEN", "KUBECONFIG", "PGPASSWORD", "PGPASSFILE", "CREDENTIALS_DIRECTORY"}
)

# What the exporter of traces reads: the receiver's credential. No program needs ours.
_TRACES = frozenset(
    f"OTEL_EXPORTER_OTLP_{of}HEADERS" for of in ("", "TRACES_", "METRICS_", "LOGS_")
)

_referred: set[str] = set()  # by {env: NAME} of any playbook that was loaded


def refer(name: str) -> None:
    """A playbook refers to this variable: it holds a credential of rotator's."""
    _referred.add(name)


def of_sdks() -> list[str]:
    """What SDKs read by themselves and is set here."""
    return sorted(name for name in os.environ if name in _SDK or name.startswith(_SDKS))


def withheld() -> list[str]:
    """What is set here, and programs do not get."""
    return sorted(
        {name for name in os.environ if name in _referred | _TRACES or name.startswith(_OURS)}
        | set(of_sdks())
    )


def inherited(given: Mapping[str, str], named: Iterable[str] = ()) -> dict[str, str]:
    """A program's environment: ours without what is withheld but for those `named`, and what it is
    given.

    Raises NotFound for one that is named and not set.
    """
    kept = set(withheld())
    found = {name: value for name, value in os.environ.items() if name not in kept}
    for name in named:
        if name not in os.environ:
            raise NotFound(
                f"the environment variable {name} is not set",
                f"`inherit:` names it: export {name}=…",
            )
        found[name] = os.environ[name]
    return {**found, **given}
