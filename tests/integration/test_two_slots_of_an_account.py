"""Azure's two keys, from a `.env` that the endpoint stands in, too, to the end of the old key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotator.integrations.memory import world as memory
from rotator.usecases.request import Request
from tests.contract.test_by_example import World
from tests.integration.conftest import Bench
from tests.servers.by_example import Fault, serving

WAIT = Request(wait=True)
BESIDE = (
    "AZURE_OPENAI_ENDPOINT=https://ours.openai.azure.com\nAZURE_OPENAI_API_VERSION=2024-10-21\n"
)
PLAYBOOK = """
generate:
  uses: azure-openai
  subscription: subscription-1
  resource_group: resource_group-1
  account: account-1
  tenant: tenant-1
  client_id: client-1
  client_secret: {{file: {secret}}}
  base_url: {url}
  login_url: {url}/on-login
  endpoint_url: {url}/on-endpoint
  exclusive: {exclusive}
store: [{{uses: dotenv, path: {env}, key: AZURE_OPENAI_API_KEY}}]
restart: [{{uses: memory, consumers: [one]}}]
revoke: {{grace: 0s, quiet: 0s, soak: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, step: 5s, list_lag: 0s}}
"""


@dataclass
class Account:
    bench: Bench
    world: World
    url: str
    env: Path

    def playbook(self, exclusive: str = "true") -> None:
        text = PLAYBOOK.format(
            secret=self.world.files["client_secret"],
            url=self.url,
            env=self.env,
            exclusive=exclusive,
        )
        (self.bench.folder / "playbooks" / "one.yaml").write_text(text)

    @property
    def stored(self) -> str:
        return self.env.read_text().splitlines()[0].partition("=")[2]

    @property
    def live(self) -> list[str]:
        """What the account's endpoint accepts."""
        return [key.values["key"] for key in self.world.issuer.in_slots.values()]

    def asked(self, operation: str) -> int:
        return [one.operation for one in self.world.issuer.asked].count(operation)


@pytest.fixture
def account(bench: Bench) -> Iterator[Account]:
    world = World("azure-openai", bench.folder)
    env = bench.folder / ".env"
    first = next(iter(world.issuer.in_slots.values()))
    env.write_text(f"AZURE_OPENAI_API_KEY={first.values['key']}\n{BESIDE}")
    env.chmod(0o600)
    memory.WORLD.start("one")
    with serving(world.issuer) as url:
        made = Account(bench, world, url, env)
        made.playbook()
        yield made


def test_the_slots_take_turns_and_what_stands_beside_stays(account: Account) -> None:
    for _ in range(3):
        old = account.stored
        report = account.bench.service.rotate("one", WAIT)
        assert report.code == 0, report
        assert account.stored in account.live and old not in account.live
        assert account.env.read_text().endswith(BESIDE)


@pytest.mark.parametrize("done", [True, False])
def test_a_lost_answer_is_read_in_the_slot(account: Account, done: bool) -> None:
    """One key is made anew for the new one, and one for the end of the old one."""
    account.world.issuer.faults["regenerate"] = [Fault(work=done, lost=True)]
    assert account.bench.service.rotate("one", WAIT).code == 0
    assert account.stored in account.live
    assert account.asked("regenerate") == (2 if done else 3)


def test_a_leaked_key_that_dies_first_has_a_successor(account: Account) -> None:
    leaked = account.stored
    report = account.bench.service.rotate(
        "one", Request(wait=True, compromised=True, revoke_first=True)
    )
    assert report.code == 0, report
    assert leaked not in account.live and account.stored in account.live


def test_nothing_is_made_anew_before_somebody_says_that_nobody_uses_it(account: Account) -> None:
    account.playbook(exclusive="false")
    before, stored = account.live, account.stored
    for request in (WAIT, Request(wait=True, compromised=True)):
        report = account.bench.service.rotate("one", request)
        assert report.code == 6 and account.live == before and account.stored == stored
        assert (
            report.rotation and "whether anybody uses it cannot be known" in report.rotation.problem
        )


def test_access_by_key_that_is_switched_off_is_told_before_the_start(account: Account) -> None:
    account.world.issuer.amiss[0] = {"properties": {"disableLocalAuth": True}}
    before = account.live
    report = account.bench.service.rotate("one", WAIT)
    assert report.code == 6 and account.live == before
    assert report.rotation and "disableLocalAuth" in report.rotation.problem
