"""What any package's plugin can say before the start, by having a member: the engine knows it by its
capability, and no neighbour by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from rotator.engine import parts
from rotator.model import Evidence, Finding, Level
from rotator.playbook.playbook import ConsumerEntry, StoreEntry
from tests.unit.test_conform import SMALL, frozen


@dataclass(frozen=True, kw_only=True)
class Copying(SMALL["store"]):  # type: ignore[misc]
    """A store whose value is copied to `elsewhere`."""

    elsewhere: str = "west"

    def unfollowed_copies(self, followed: Sequence[Any]) -> list[Finding]:
        if any(store.name == self.elsewhere for store in followed):
            return []
        return [Finding(Level.WARNING, f"it is copied to {self.elsewhere}")]


def findings(*stores: StoreEntry, provider: Any = None, restarter: Any = None) -> list[Finding]:
    playbook: Any = SimpleNamespace(
        provider=provider or SMALL["provider"](),
        provider_name="acme",
        shape=SimpleNamespace(allow_downtime=False),
        stores=stores,
        consumers=(ConsumerEntry("c", restarter),) if restarter else (),
        probes=(),
        monitor=None,
        definition={},
    )
    found, later = parts.ask(parts.parts_of(playbook, False, parts.Urgency.NONE))
    assert later is None
    return found


def test_a_store_of_another_package_warns_of_copies_that_no_entry_follows() -> None:
    written = StoreEntry("it", Copying())
    assert [one.text for one in findings(written)] == ["it is copied to west"]
    followed = StoreEntry("west", frozen(SMALL["store"], name="west")(), follows=True)
    assert findings(written, followed) == []


@pytest.mark.parametrize(("keeps", "level"), [(True, Level.ERROR), (False, Level.WARNING)])
def test_who_has_its_file_mounted_is_named_by_a_store_of_another_package(
    keeps: bool, level: Level
) -> None:
    store = frozen(SMALL["store"], stale_mounts=lambda self: ["web has /key mounted by itself"])
    restarter = frozen(SMALL["restarter"], evidence=Evidence.NONE, keeps_mounts=keeps)
    (found,) = findings(StoreEntry("it", store()), restarter=restarter())
    assert found.level is level and found.text.startswith("web has /key mounted by itself: it ")


@pytest.mark.parametrize(
    ("url", "texts"),
    [
        ("https://acme.example", []),
        ("", []),
        (
            "http://acme.example/v1",
            [
                "keys travel to acme.example in clear text (its usual address:"
                " http://acme.example/v1)"
            ],
        ),
    ],
)
def test_an_address_that_no_playbook_says_is_known_from_its_plugin(
    url: str, texts: list[str]
) -> None:
    provider = frozen(SMALL["provider"], usual_address=lambda self: url)
    assert [one.text for one in findings(provider=provider())] == texts
