"""Each store of a playbook has a name of its own: by it the journal knows what was written there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rotator.model import Credential
from rotator.playbook import carry
from rotator.playbook.directory import Directory, Loaded
from rotator.playbook.registry import Registry
from rotator.secret import Secret

PLAYBOOK = """\
generate: {uses: memory, issuer: one}
store:
%s
"""
SECRET = "uses: kubernetes, secret: shop/api, key: API_KEY"


def _load(folder: Path, *entries: str) -> Loaded:
    text = PLAYBOOK % "\n".join(f"  - {{{entry}}}" for entry in entries)
    (folder / "one.yaml").write_text(text)
    return Directory((folder,)).load()


def _names(folder: Path, *entries: str) -> list[str]:
    found = _load(folder, *entries)
    assert not found.mistakes
    return [entry.name for entry in found.playbooks["one"].stores]


def test_one_secret_in_two_clusters_is_two_stores(tmp_path: Path) -> None:
    name = "kubernetes shop/api#API_KEY"
    assert _names(tmp_path, f"{SECRET}, context: west", f"{SECRET}, context: east") == [
        f"{name} (context west)",
        f"{name} (context east)",
    ]


def test_a_name_that_was_alone_stays_as_it_is_and_does_not_follow_the_order(tmp_path: Path) -> None:
    """The journal knows the store by it: what is there by default is not said."""
    name = "kubernetes shop/api#API_KEY"
    assert _names(tmp_path, f"{SECRET}, context: west") == [name]
    assert _names(tmp_path, SECRET, f"{SECRET}, context: west") == [name, f"{name} (context west)"]
    assert _names(tmp_path, f"{SECRET}, context: west", SECRET) == [f"{name} (context west)", name]


def test_stores_of_one_program_are_told_apart_by_what_it_is_asked(tmp_path: Path) -> None:
    asked = "uses: command, write: [/bin/true, {}], read: [/bin/echo, x]"
    names = _names(tmp_path, asked.format("a"), asked.format("b"))
    assert names == ["command true (write /bin/true a)", "command true (write /bin/true b)"]
    long = "x" * 300
    one, two = _names(tmp_path, asked.format(long + "1"), asked.format(long + "2"))
    assert one != two and len(one) < 40 and one.startswith("command true (")


def test_one_file_is_told_apart_by_how_its_host_is_reached(tmp_path: Path) -> None:
    file = "uses: file, path: /srv/key, host: web"
    names = _names(tmp_path, f"{file}, sudo: true", f"{file}, ssh_config: /srv/other")
    assert names == [
        "file web:/srv/key (sudo true)",
        "file web:/srv/key (ssh_config /srv/other)",
    ]


def test_keys_by_their_names_tell_stores_apart(tmp_path: Path) -> None:
    """Two ways to spell one variable."""
    entry = "uses: dotenv, path: /srv/.env, {}"
    names = _names(tmp_path, entry.format("key: K"), entry.format("keys: {K: key}"))
    assert names == ["dotenv /srv/.env#K (key K)", "dotenv /srv/.env#K (keys K: key)"]


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        (["uses: file, path: /srv/key", "uses: file, path: /srv/key"], "4:5"),
        ([SECRET, f"{SECRET}, follows: true"], "4:5"),
        (["uses: file, path: /srv/key, host: [web, web]"], "3:5"),
    ],
)
def test_a_store_that_stands_there_twice_is_a_mistake(
    tmp_path: Path, entries: list[str], place: str
) -> None:
    (found,) = _load(tmp_path, *entries).mistakes
    assert (f"{found.line}:{found.column}", found.hint) == (place, "keep one")
    assert found.text.endswith("stands here twice")


def test_what_was_begun_by_a_playbook_with_a_store_twice_goes_on(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(PLAYBOOK % "  - {uses: file, path: /srv/key}")
    book = Directory((tmp_path,)).load().playbooks["one"]
    kept = json.loads(carry.kept(book))
    kept["data"]["store"] *= 2
    then = carry.playbook_of("one", json.dumps(kept), None, Registry(()))
    assert [entry.name for entry in then.stores] == ["file /srv/key"] * 2


def test_each_store_puts_back_how_the_key_stood_in_itself(tmp_path: Path) -> None:
    """By the name that a store gives itself: it knows no other."""
    file = "uses: file, path: /srv/key, host: web"
    found = _load(tmp_path, f"{file}, sudo: true", file)
    root, plain = found.playbooks["one"].stores
    spelled = {root.name: Secret("key-of-root\n"), plain.name: Secret("key-of-user")}
    credential = Credential({}, spelled=spelled)
    own = "file web:/srv/key"
    assert root.as_it_writes(credential).spelled[own].reveal() == "key-of-root\n"
    assert plain.as_it_writes(credential).spelled[own].reveal() == "key-of-user"
    assert not root.as_it_writes(Credential({}, spelled={own: Secret("another's")})).spelled
