"""Before a key is made: which key is in force, and do all stores and consumers hold it?

Real files, a real issuer.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rotator.engine import preflight
from rotator.errors import RefusedError
from rotator.model import Label, Level
from rotator.settings import Settings
from rotator.usecases import adopt
from rotator.usecases.service import Request, Service
from tests.servers import issuers

WAIT = Request(wait=True)
PLAYBOOK = """
generate: {{uses: openrouter, management_key: {{env: DEMO_ADMIN_KEY}}, base_url: {url}}}
store: {stores}
revoke: {{grace: 0s, quiet: 0s, soak: 0s, watch: 0s}}
limits: {{passes: 1, pass_interval: 1ms, list_lag: 0s, step: 2s}}
"""


class Issuer(issuers.OpenRouter):
    """Keys of another workspace work, too, but no list shows them."""

    keys: ClassVar[dict[str, dict[str, Any]]]
    elsewhere: ClassVar[set[str]]
    creates: ClassVar[list[str]]

    def do_GET(self) -> None:
        if self.route == ["key"] and self._who() in self.elsewhere:
            self.answer(200, {"data": {}})
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.creates.append(self.path)
        super().do_POST()


@dataclass
class Shop:
    """An issuer, a .env with a key of it, and a playbook."""

    folder: Path
    url: str
    issuer: type[Issuer]

    def __post_init__(self) -> None:
        (self.folder / "playbooks").mkdir()
        self.env = self.folder / ".env"
        self.first = self.made("by hand")
        self.env.write_text(f"A=1\nKEY={self.keys[self.first]['secret']}\n")
        self.env.chmod(0o600)
        self.playbook()
        settings = Settings(self.folder / "state", playbooks=(self.folder / "playbooks",))
        self.service = Service(settings, "test")

    def playbook(self, *stores: str) -> None:
        found = ", ".join(stores or (self.store(),))
        (self.folder / "playbooks" / "shop.yaml").write_text(
            PLAYBOOK.format(url=self.url, stores=f"[{found}]")
        )

    def store(self, name: str = ".env", key: str = "KEY", more: str = "") -> str:
        return f"{{uses: dotenv, path: {self.folder / name}, key: {key}{more}}}"

    @property
    def keys(self) -> dict[str, dict[str, Any]]:
        return self.issuer.keys

    @property
    def held(self) -> str:
        return self.env.read_text().partition("\nKEY=")[2].partition("\n")[0].strip("'\"")

    def made(self, name: str, mask: Callable[[str], str] = lambda v: f"{v[:12]}...{v[-3:]}") -> str:
        """The id of a key that a person made."""
        value, key_id = f"sk-or-v1-{secrets.token_hex(32)}", secrets.token_hex(16)
        self.keys[key_id] = {
            "hash": key_id,
            "name": name,
            "label": mask(value),
            "disabled": False,
            "created_at": "2026-11-01T10:00:00Z",
            "expires_at": None,
            "secret": value,
        }
        return key_id

    def refused(self, request: Request = WAIT) -> str:
        """What a rotation is refused with, before any key is made; all keys live on, and the file
        stays.
        """
        live, text, creates = set(self.keys), self.env.read_text(), len(self.issuer.creates)
        report = self.service.rotate("shop", request)
        assert report.code == 6 and report.rotation, report
        assert (set(self.keys), self.env.read_text(), len(self.issuer.creates)) == (
            live,
            text,
            creates,
        )
        return f"{report.rotation.problem}\n{report.rotation.hint}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("DEMO_ADMIN_KEY", issuers.ADMIN)
    kind = type("Issuer", (Issuer,), {"keys": {}, "elsewhere": set(), "creates": []})
    with issuers.serving(kind) as url:
        found = Shop(tmp_path, url, kind)
        with contextlib.closing(found.service):
            yield found


MASKS: dict[str, Callable[[str], str]] = {
    "two last characters": lambda value: f"sk-or-...{value[-2:]}",
    "a prefix": lambda value: "sk-or-v1-***",
    "a short prefix": lambda value: f"{value[:6]}...",
    "nothing": lambda value: "***",
    "a prefix and stars": lambda value: "sk-or-v1-...****",
}


@pytest.mark.parametrize("mask", MASKS)
def test_a_colleagues_key_is_not_taken_for_ours(shop: Shop, mask: str) -> None:
    """The key in .env is of another workspace; the only listed key is a colleague's, and its mask
    tells little.
    """
    ours = shop.keys.pop(shop.first)["secret"]
    shop.issuer.elsewhere.add(ours)
    colleague = shop.made("billing service", lambda _: MASKS[mask](ours))
    told = shop.refused()
    assert "not sure which key" in told and colleague in told and "'billing service'" in told
    assert "rotator adopt shop --id ID" in told


def test_a_key_that_no_list_shows_is_refused_with_its_way_out(shop: Shop) -> None:
    ours = shop.keys.pop(shop.first)["secret"]
    shop.issuer.elsewhere.add(ours)
    shop.made("billing service")
    told = shop.refused()
    assert "lists no key that could be it" in told and "another project or account" in told


def test_the_one_key_whose_hint_agrees_is_rotated(shop: Shop) -> None:
    colleague = shop.made("billing service")
    assert shop.service.rotate("shop", WAIT).code == 0
    assert shop.first not in shop.keys and colleague in shop.keys
    assert shop.held in {key["secret"] for key in shop.keys.values()}


def test_two_keys_that_agree_are_told_apart_by_a_person(shop: Shop) -> None:
    twin = shop.made("twin", lambda _: shop.keys[shop.first]["label"])
    assert shop.first in (told := shop.refused()) and twin in told
    with pytest.raises(RefusedError, match="2 of the provider's keys could be it"):
        adopt.adopt(shop.service, "shop")
    assert adopt.adopt(shop.service, "shop", shop.first).id == shop.first
    assert shop.service.rotate("shop", WAIT).code == 0
    assert twin in shop.keys and shop.first not in shop.keys


def test_an_inactive_entry_is_not_the_key_that_is_accepted(shop: Shop) -> None:
    value = shop.keys[shop.first]["secret"]
    shop.keys[shop.first]["disabled"] = True
    shop.issuer.elsewhere.add(value)
    assert "is inactive, but the provider accepts the key" in shop.refused()


def test_adopting_an_id_that_the_list_contradicts_is_refused_with_both_hints(shop: Shop) -> None:
    colleague = shop.made("billing service")
    with pytest.raises(RefusedError) as refused:
        adopt.adopt(shop.service, "shop", colleague)
    assert (
        shop.keys[colleague]["label"] in refused.value.message
        and shop.held[-4:] in refused.value.message
    )


def test_adopting_an_id_that_is_not_listed_is_refused_with_those_that_are(shop: Shop) -> None:
    with pytest.raises(RefusedError, match=f"does not list key_typo.*{shop.first}"):
        adopt.adopt(shop.service, "shop", "key_typo")


def test_who_told_the_id_of_an_adopted_key_is_in_the_audit(shop: Shop) -> None:
    adopt.adopt(shop.service, "shop")
    adopt.adopt(shop.service, "shop", shop.first)
    from sqlalchemy import text

    with shop.service.journal.database.read() as connection:
        records = [
            row[0]
            for row in connection.execute(
                text("SELECT record FROM audit WHERE record LIKE '%adopted%'")
            )
        ]
    assert ["the provider's list" in records[0], '"a person"' in records[1]] == [
        True,
        True,
    ], records


def test_a_typo_in_the_variable_is_refused(shop: Shop) -> None:
    """`KEYS` for `KEY`: a new variable would be made, and the key that the service uses
    be revoked.
    """
    shop.playbook(shop.store(key="KEYS"))
    told = shop.refused()
    assert f"dotenv {shop.env}#KEYS holds no key" in told and "create: true" in told
    shop.playbook()
    assert shop.service.rotate("shop", WAIT).code == 0
    shop.playbook(shop.store(key="KEYS"))
    assert "#KEYS holds no key" in shop.refused(), "also where the journal knows the key"


def test_a_wrong_path_is_refused(shop: Shop) -> None:
    shop.playbook(shop.store(name="elsewhere.env"))
    assert "elsewhere.env#KEY holds no key" in shop.refused()
    assert not (shop.folder / "elsewhere.env").exists()


def test_a_field_that_holds_something_else_is_refused(shop: Shop) -> None:
    """A password: the provider refuses it as it would a dead key, but it does not look like one."""
    shop.env.write_text(shop.env.read_text() + "PASSWORD=correct-horse-battery-staple\n")
    shop.playbook(shop.store(key="PASSWORD"))
    assert "something else than a key" in shop.refused()


def test_a_wrong_field_of_a_json_document_is_refused(shop: Shop) -> None:
    """Read by a program: the field is not there, so there is nothing to rotate."""
    document = shop.folder / "secrets.json"
    document.write_text(json.dumps({"openrouter": {"key": shop.held}}))
    program = (
        "import json, sys; print(json.load(open(sys.argv[1]))['openrouter'].get(sys.argv[2], ''))"
    )

    def kept(field: str) -> str:
        read = json.dumps([sys.executable, "-c", program, str(document), field])
        return f"{{uses: command, read: {read}, write: [/bin/false]}}"

    shop.playbook(shop.store(), kept("api_key"))
    assert "command false holds no key" in shop.refused()
    shop.playbook(shop.store(), kept("key"))
    book = shop.service.playbooks().get("shop")
    assert not [
        one
        for one in preflight.examine(shop.service.journal, book, 1e10).findings
        if one.level is Level.ERROR
    ]


def test_a_label_of_a_lost_journal_is_not_taken_for_ours_until_a_person_adopts(shop: Shop) -> None:
    lost = Label("0ld0ld00", "shop", "01LOSTROTATION", 1)
    shop.keys[shop.first]["name"] = lost.text
    told = shop.refused()
    assert (
        "made by a rotation that this journal does not know" in told
        and "rotator adopt shop --id" in told
    )
    assert "was the journal lost, or restored from a backup?" in told
    assert adopt.adopt(shop.service, "shop").id == shop.first
    assert shop.service.rotate("shop", WAIT).code == 0 and shop.first not in shop.keys


def test_a_variable_with_another_key_is_refused_where_the_journal_knows_the_one_in_force(
    shop: Shop,
) -> None:
    """The typo hits a variable with an old key: dead, and of nobody."""
    assert shop.service.rotate("shop", WAIT).code == 0
    shop.env.write_text(shop.env.read_text() + f"OLD_KEY=sk-or-v1-{secrets.token_hex(32)}\n")
    shop.playbook(shop.store(key="OLD_KEY"))
    told = shop.refused()
    assert "not the key that this journal knows" in told and "rotator adopt shop" in told


def test_a_first_key_that_its_provider_refuses_is_left_forward_only(shop: Shop) -> None:
    """It was found by a leak scanner and deleted: there is nothing to revoke, and nothing to go
    back to.
    """
    shop.keys.clear()
    report = shop.service.rotate("shop", WAIT)
    assert report.code == 0 and report.rotation and report.rotation.forward_only
    assert not [debt for debt in report.debts if debt.open], report.debts
    assert [key["secret"] for key in shop.keys.values()] == [shop.held]


def test_stores_that_disagree_are_refused(shop: Shop) -> None:
    (shop.folder / "b.env").write_text(f"KEY={shop.keys[shop.made('another')]['secret']}\n")
    shop.playbook(shop.store(), shop.store(name="b.env"))
    assert "the stores disagree" in shop.refused()


def test_a_store_that_is_added_later_is_filled_where_the_playbook_says_so(shop: Shop) -> None:
    assert shop.service.rotate("shop", WAIT).code == 0
    shop.playbook(shop.store(), shop.store(name="later.env"))
    assert "later.env#KEY holds no key" in shop.refused()
    shop.playbook(shop.store(), shop.store(name="later.env", more=", create: true"))
    assert shop.service.rotate("shop", WAIT).code == 0
    assert f"KEY={shop.held}" in (shop.folder / "later.env").read_text()
    assert [key["secret"] for key in shop.keys.values()] == [shop.held]


def test_the_first_key_of_all_is_made_where_the_playbook_says_so(shop: Shop) -> None:
    shop.env.write_text("A=1\n")
    shop.playbook(shop.store(more=", create: true"))
    assert shop.service.rotate("shop", WAIT).code == 0
    assert shop.held in {key["secret"] for key in shop.keys.values()}
    assert shop.first in shop.keys, "nobody said that it is ours"
