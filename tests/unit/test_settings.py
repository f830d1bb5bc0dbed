"""Settings: from rotator.toml, overridden by the environment, told where they are wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from rotator.errors import ConfigError
from rotator.integrations.webhook.channel import Webhook
from rotator.plugin.channel import Kind
from rotator.reference import Reference
from rotator.settings import load
from tests.unit.test_playbooks import somebody


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "rotator.toml").write_text(
        'home = "~/state"\nplaybooks = ["a", "b"]\nlog_level = "info"\nkey_file = "/keys/rotator"\n'
        'audit_stream = ["stdout", "audit.jsonl"]\n'
    )
    found = load({"ROTATOR_LOG_LEVEL": "debug", "ROTATOR_PLAYBOOKS": f"c{os.pathsep}d"})
    assert (found.home, found.log_level) == (Path("~/state").expanduser(), "debug")
    assert found.playbooks == found.folders == (Path("c"), Path("d"))
    assert found.key.file == Path("/keys/rotator") and found.audit_stream == (
        "stdout",
        "audit.jsonl",
    )
    assert found.url == f"sqlite:///{found.home / 'journal.db'}"
    assert (
        load({"ROTATOR_DATABASE_URL": "postgresql://db/rotator"}).url == "postgresql://db/rotator"
    )


def test_playbooks_are_usually_in_the_folder_playbooks(tmp_path: Path) -> None:
    assert load({}).folders == (Path("playbooks"), Path("/etc/rotator/playbooks")), (
        "both are told to hold none"
    )
    (tmp_path / "playbooks").mkdir()
    assert load({}).folders == (Path("playbooks"),)


def test_state_is_where_the_service_manager_says_or_where_it_usually_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load({"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"}).home == Path("/var/lib/x")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load({}).home == Path("/var/lib/rotator")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert load({}).home.name == "rotator" and load({}).home != Path("/var/lib/rotator")


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml does not exist"):
        load({"ROTATOR_CONFIG": str(tmp_path / "none.toml")})


def test_a_file_that_may_not_be_read_is_told_not_passed_over() -> None:
    """Its directory is closed to this user: nobody knows what is in it, and its settings would
    count.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "closed").mkdir(mode=0)
        Path(folder).chmod(0o755)
        with somebody(), pytest.raises(ConfigError, match="Permission denied"):
            load({"ROTATOR_CONFIG": f"{folder}/closed/rotator.toml"})


@pytest.mark.parametrize(
    ("text", "words"), [("hom = 1", "unknown setting 'hom'"), ("home = ", "rotator.toml: ")]
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "rotator.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load({})


@pytest.mark.parametrize("name", ["home", "key_file", "playbooks"])
def test_a_home_that_nobody_has_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: ~nobody-has-this/x is no path here"):
        load({f"ROTATOR_{name.upper()}": "~nobody-has-this/x"})


def test_playbooks_of_nothing_but_separators_are_no_default() -> None:
    with pytest.raises(ConfigError, match="names no directory"):
        load({"ROTATOR_PLAYBOOKS": " : "})


@pytest.mark.parametrize("line", ["audit_stream = 3", "playbooks = 3", "playbooks = true"])
def test_a_list_that_is_none_is_a_mistake(tmp_path: Path, line: str) -> None:
    (tmp_path / "rotator.toml").write_text(line)
    with pytest.raises(ConfigError, match="is no list"):
        load({"ROTATOR_CONFIG": str(tmp_path / "rotator.toml")})


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("FALSE", False), ("", False)])
def test_a_journal_that_may_be_lost_is_one_by_a_persons_word(said: str, meant: bool) -> None:
    assert load({"ROTATOR_EPHEMERAL": said}).ephemeral is meant


def test_a_word_that_is_neither_yes_nor_no_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ephemeral: maybe is neither true nor false"):
        load({"ROTATOR_EPHEMERAL": "maybe"})
    (tmp_path / "rotator.toml").write_text("ephemeral = true\n")
    assert load({}).ephemeral


def test_blackouts_are_written_as_in_playbooks(tmp_path: Path) -> None:
    (tmp_path / "rotator.toml").write_text(
        'blackout = ["fri 16:00-24:00", {from = 2026-12-20, to = "2027-01-03"},'
        ' {calendar = "/etc/freeze.ics"}]\nblackout_timezone = "Europe/Berlin"'
    )
    found = load({"ROTATOR_CONFIG": str(tmp_path / "rotator.toml")})
    assert found.blackout == (
        "fri 16:00-24:00",
        {"from": "2026-12-20", "to": "2027-01-03"},
        {"calendar": "/etc/freeze.ics"},
    )
    assert found.blackouts.zone == "Europe/Berlin"
    (tmp_path / "rotator.toml").write_text('blackout = "fri 16:00-24:00"')
    assert load({"ROTATOR_CONFIG": str(tmp_path / "rotator.toml")}).blackout == ("fri 16:00-24:00",)


@pytest.mark.parametrize(
    "line",
    [
        "blackout = 3",
        'blackout = ["friday"]',
        'blackout = [{from = "2026-12-20"}]',
        'blackout = [{calendar = ""}]',
        'blackout = [{from = "2026-12-20", to = "2026-12-01"}]',
        'blackout_timezone = "Berlin"',
    ],
)
def test_a_blackout_that_is_none_is_a_mistake(tmp_path: Path, line: str) -> None:
    (tmp_path / "rotator.toml").write_text(line)
    with pytest.raises(ConfigError, match="blackout"):
        load({"ROTATOR_CONFIG": str(tmp_path / "rotator.toml")})


CHANNEL = '[notify.ops]\nuses = "webhook"\nurl = {env = "HOOK"}\nsecret = {file = "./hook"}\n'


def test_channels_are_told_of_all_playbooks_and_their_paths_begin_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "rotator.toml").write_text(CHANNEL + 'when = "done"\nbefore = "7d"\n')
    found = load({"ROTATOR_CONFIG": "etc/rotator.toml"})
    monkeypatch.chdir("/")
    (entry,) = found.channels
    assert (entry.name, entry.when, entry.before) == ("ops", (Kind.DONE,), 7 * 86_400.0)
    assert isinstance(entry.channel, Webhook)
    assert entry.channel.secret == Reference("file", str(tmp_path / "etc" / "hook"))
    assert load({}).channels == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("notify = 3", "notify: it is a table of channels"),
        ("[notify]\nops = 3", "notify.ops: a channel is a table"),
        ("[notify.OPS]\nuses = 'webhook'", "notify.OPS: that cannot be a channel's name"),
        ("[notify.ops]\nurl = {env = 'A'}", "a channel says which one it is"),
        ("[notify.ops]\nuses = 'slack'", "there is no channel 'slack'"),
        (CHANNEL.replace("HOOK", "no name"), "needs the name of a variable"),
        (CHANNEL.replace('{env = "HOOK"}', '"https://h.test/T0k"'), "a secret written out"),
        (CHANNEL + "when = 'gone'", "nobody is told of 'gone'"),
        (CHANNEL + "before = 'soon'", "'soon' is not a duration"),
        (CHANNEL + "colour = 'red'", "unknown key 'colour'"),
    ],
)
def test_a_channel_that_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rotator.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load({})
    assert told in error.value.message and "rotator.toml" in error.value.message
    assert error.value.hint and "T0k" not in error.value.message


def test_a_program_that_gives_an_address_is_not_named_by_somebody_else(tmp_path: Path) -> None:
    file = tmp_path / "rotator.toml"
    file.write_text(CHANNEL.replace('{env = "HOOK"}', '{command = ["cat", "hook"]}'))
    assert load({"ROTATOR_CONFIG": str(file)}).channels
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="a program is named here"):
        load({"ROTATOR_CONFIG": str(file)})
