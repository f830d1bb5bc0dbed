"""What of a playbook is on the machine where rotator runs; on which nodes it says that it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.engine.fleet import Elsewhere, Present, Why
from rotator.errors import ConfigError
from rotator.playbook.directory import Directory
from rotator.playbook.playbook import Playbook
from rotator.settings import load

FILE = "{uses: dotenv, path: /srv/app/.env, key: KEY}"
AWAY = "{uses: dotenv, host: web-1, path: /srv/app/.env, key: KEY}"
ENV = "{env: ADMIN}"


def _playbook(folder: Path, more: str = "", store: str = AWAY, secret: str = ENV) -> Playbook:
    text = (
        f"generate: {{uses: openai, project: p, admin_key: {secret}}}\nstore: [{store}]\n{more}\n"
    )
    (folder / "one.yaml").write_text(text)
    loaded = Directory((folder,)).load()
    assert not loaded.mistakes, loaded.mistakes
    return loaded.playbooks["one"]


@pytest.mark.parametrize(
    ("more", "local"),
    [
        ("restart: [{uses: systemd, units: [app.service]}]", True),
        ("restart: [{uses: systemd, units: [app.service], host: web-1}]", False),
        ("restart: [{uses: process, pid_file: /run/app.pid}]", True),
        (
            "restart: [{uses: command, run: [/bin/true], ready: [/bin/true]}]\nevidence: answers",
            True,
        ),
        ("restart: [{uses: docker, containers: [app]}]", True),
        ("restart: [{uses: docker, containers: [app], host: 'unix:///run/docker.sock'}]", True),
        ("restart: [{uses: docker, containers: [app], host: 'ssh://ops@web-1'}]", False),
        ("restart: [{uses: docker, containers: [app], host: 'tcp://127.0.0.1:2375'}]", True),
        ("restart: [{uses: docker, containers: [app], host: 'tcp://10.0.0.9:2375'}]", False),
        ("verify: [{uses: http, url: 'http://localhost:8080/health'}]", True),
        ("verify: [{uses: http, url: 'http://[::1]:8080/health'}]", True),
        ("verify: [{uses: http, url: 'https://api.example.com/health'}]", False),
        ("verify: [{uses: command, run: [/bin/true]}]", True),
    ],
)
def test_a_plugin_says_whether_it_works_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, local: bool
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = _playbook(tmp_path, more)
    assert bool(found.local) is local
    assert bool(found.local_places) is (local and "restart" in more)


def test_an_engine_that_the_environment_names_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://ops@web-1")
    assert not _playbook(tmp_path, "restart: [{uses: docker, containers: [app]}]").local


@pytest.mark.parametrize(
    ("secret", "local"),
    [
        ("{file: /etc/rotator/admin}", "{file: /etc/rotator/admin}"),
        ("{command: [/bin/pass, show, admin]}", "{command: /bin/pass show admin}"),
        (ENV, ""),
    ],
)
def test_a_secret_in_a_file_or_by_a_program_is_of_this_machine(
    tmp_path: Path, secret: str, local: str
) -> None:
    found = _playbook(tmp_path, secret=secret)
    assert found.local == ((local,) if local else ()) and found.local_places == ()


def test_a_file_on_a_host_is_reached_from_everywhere(tmp_path: Path) -> None:
    assert _playbook(tmp_path).local == ()
    assert _playbook(tmp_path, store=FILE).local == ("store dotenv /srv/app/.env#KEY",)


def test_on_is_a_name_several_or_any(tmp_path: Path) -> None:
    """`on` is a truth value in YAML 1.1: here a key is what is written."""
    assert _playbook(tmp_path, "on: web-1").shape.on == ("web-1",)
    assert _playbook(tmp_path, "on: [web-1, web-2.example.com]").shape.on[1] == "web-2.example.com"
    assert _playbook(tmp_path, "on: '*'").anywhere and not _playbook(tmp_path, "on: web-1").anywhere


@pytest.mark.parametrize("wrong", ["on: []", "on: [web 1]", "on: ''", "on: 3"])
def test_what_is_no_name_of_a_node_has_its_place(tmp_path: Path, wrong: str) -> None:
    text = f"generate: {{uses: openai, project: p, admin_key: {ENV}}}\nstore: [{AWAY}]\n{wrong}\n"
    (tmp_path / "one.yaml").write_text(text)
    (mistake,) = Directory((tmp_path,)).load().mistakes
    assert mistake.line == 3 and "on" in mistake.text


def test_a_node_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"ROTATOR_NODE": "web-1"}).node_name == "web-1"
    assert load({}).node_name, "the host's"
    with pytest.raises(ConfigError, match="'web 1' is no name"):
        load({"ROTATOR_NODE": "web 1"})


def test_what_a_node_leaves_to_others(tmp_path: Path) -> None:
    here, far = _playbook(tmp_path, store=FILE), _playbook(tmp_path)
    both = frozenset({"a", "b"})
    assert Present("a", True, both).may_not_begin(here) == Elsewhere(
        Why.UNNAMED, ("a", "b"), here.local
    )
    assert Present("a", True, frozenset({"a"})).may_not_begin(here) is None
    assert Present("a", True, frozenset({"b"})).may_not_begin(here) is not None, "itself unseen yet"
    assert Present("a", False, both).may_not_begin(here) is None, "on SQLite there is one machine"
    assert Present("a", True, both).may_not_begin(far) is None
    assert Present("a", True, both).may_not_go_on(here, "a") is None
    assert Present("a", True).may_not_go_on(here, "b") == Elsewhere(
        Why.BEGUN, ("b",), here.local_places
    )
    assert Present("a", True).may_not_go_on(here, "") is None
    assert Present("a", False).may_not_go_on(here, "b") is None
    file = _playbook(tmp_path, secret="{file: /etc/rotator/admin}")
    assert Present("a", True).may_not_go_on(file, "b") is None, "a secret alone binds nothing"
