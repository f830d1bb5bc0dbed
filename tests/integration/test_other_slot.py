"""Of a credential with two slots, the key that is made anew is one that nobody holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.integrations.memory import world as memory
from rotator.playbook.directory import Directory
from rotator.secret import Secret
from rotator.usecases import adopt
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

WAIT = Request(wait=True)
SLOTS = ", overlap: two slots, recovery: reread, can_list: false"
PLAYBOOK = """
generate: {uses: memory, issuer: one, overlap: two slots, recovery: reread, can_list: false}
store: [%s]
restart: [{uses: memory, consumers: [one], evidence: read}]
evidence: started
revoke: {grace: 0s, quiet: 0s, soak: 0s, watch: 0s}
limits: {pass_interval: 1ms, step: 2s, list_lag: 0s}
"""
AZURE = """
generate:
  {uses: azure-openai, subscription: s, resource_group: r, account: %s, exclusive: true,
   endpoint_url: 'https://ours.example', token: {env: AZURE_TOKEN}}
store: [{uses: memory, cell: %s}]
"""


@pytest.fixture
def slots(bench: Bench) -> Bench:
    """The key in use is in the first slot, and there is one in the second."""
    bench.issuer.overlap = memory.Overlap.TWO_SLOTS
    bench.issuer.create("the other", 1)
    bench.playbook(SLOTS)
    return bench


def other(bench: Bench) -> str:
    return next(key.value for key in bench.issuer.keys.values() if key.slot == 1)


def refused(bench: Bench) -> str:
    """What is said of a rotation that changed nothing."""
    before = list(bench.live)
    report = bench.service.rotate("one", WAIT)
    assert report.code == 6 and report.rotation and bench.live == before
    return report.rotation.problem


def test_a_key_that_nobody_holds_is_made_anew(slots: Bench) -> None:
    kept = slots.stored
    assert slots.service.rotate("one", WAIT).code == 0
    assert kept not in slots.live and slots.live == [slots.stored] == [slots.consumer.holds]


def test_a_key_that_another_playbook_has_is_not_made_anew(slots: Bench) -> None:
    second = Bench(slots.folder, slots.url, "two")
    second.issuer.keys = slots.issuer.keys
    second.issuer.overlap = memory.Overlap.TWO_SLOTS
    second.playbook(SLOTS)
    memory.WORLD.cell("two").values = {"key": Secret(other(slots))}
    adopt.adopt(second.service, "two")
    assert "the playbook two has the other key" in refused(slots)
    second.service.close()


def test_a_key_that_a_consumer_has_is_not_made_anew(slots: Bench) -> None:
    (slots.folder / "playbooks" / "one.yaml").write_text(PLAYBOOK % "{uses: memory, cell: one}")
    slots.consumer.holds = other(slots)
    assert "a consumer has the other key" in refused(slots)
    memory.WORLD.start("one")
    assert slots.service.rotate("one", WAIT).code == 0


def test_a_store_that_cannot_show_which_key_it_holds_is_filled_or_refused(slots: Bench) -> None:
    """It may hold the other key; once rotator wrote it, it is known."""
    both = "{uses: memory, cell: one}, {uses: memory, cell: ci, write_only: true, create: true}"
    (slots.folder / "playbooks" / "one.yaml").write_text(PLAYBOOK % both)
    cell = memory.WORLD.cell("ci")
    cell.values, cell.version = {"key": Secret(other(slots))}, 1
    assert "memory ci does not show which of the two keys it holds" in refused(slots)
    cell.values, cell.version = None, 0
    for _ in range(2):
        assert slots.service.rotate("one", WAIT).code == 0
        assert cell.values and cell.values["key"].reveal() == slots.stored
    memory.WORLD.cells.pop("ci")


def test_a_slot_that_is_empty_is_filled(bench: Bench) -> None:
    bench.issuer.overlap = memory.Overlap.TWO_SLOTS
    bench.playbook(SLOTS)
    assert bench.service.rotate("one", WAIT).code == 0 and bench.live == [bench.stored]


@pytest.mark.parametrize(("account", "right"), [("a", []), ("b", ["one", "two"])])
def test_two_playbooks_of_one_credential_are_a_mistake(
    tmp_path: Path, account: str, right: list[str]
) -> None:
    """Each would make the other's key anew."""
    (tmp_path / "one.yaml").write_text(AZURE % ("a", "one"))
    (tmp_path / "two.yaml").write_text(AZURE % (account, "two"))
    loaded = Directory((tmp_path,)).load()
    assert sorted(loaded.playbooks) == right
    told = [f"{Path(one.file).name}: {one.text}" for one in loaded.mistakes]
    same = "two.yaml: one has the same two keys: each would make the other's key anew"
    assert told == ([] if right else [same])
