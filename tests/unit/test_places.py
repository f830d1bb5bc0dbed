"""A relative path belongs to the playbook's folder, wherever rotator is started; it is kept and
shown absolute.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import ConfigError, NotFound
from rotator.model import Credential, Note, single
from rotator.playbook import carry
from rotator.playbook.directory import Directory, Loaded
from rotator.playbook.places import absolute, in_folder
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import KINDS, Registry, settings_of
from rotator.plugin import playbook_folder, setting
from rotator.reference import Reference
from rotator.secret import Secret

NOTE = Note("k2", "here", "r1", 0.0)
PLAYBOOK = """\
generate: {uses: openai, project: proj_1, admin_key: {file: keys/admin}}
store:
  - {uses: dotenv, path: ./.env, key: KEY}
restart:
  - {uses: process, pid_file: run/x.pid}
"""
# What sounds like a file and is none: an option of another program, or settings that are looked at
# one by one.
NO_PATHS = {"profile", "host", "credential", "auth", "vault path", "gitlab-project project"} | {
    f"{restarter} overrides" for restarter in ("process", "docker", "compose", "systemd")
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The playbook's folder; rotator is started in another one."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "books").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "books"


def load(folder: Path, text: str) -> Loaded:
    (folder / "one.yaml").write_text(text)
    return Directory((folder,)).load()


def only(folder: Path, text: str) -> Playbook:
    found = load(folder, text)
    assert not found.mistakes, found.mistakes
    return found.playbooks["one"]


def mistake(folder: Path, text: str) -> tuple[str, str, str]:
    (found,) = load(folder, text).mistakes
    return f"{found.line}:{found.column}", found.text, found.hint


def store(folder: Path, **settings: str) -> Any:
    given = "".join(f", {name}: {value}" for name, value in settings.items())
    text = f"generate: {{uses: operator}}\nstore:\n  - {{uses: file{given}}}\n"
    return only(folder, text).stores[0].store


def test_relative_paths_begin_in_the_playbooks_folder(folder: Path) -> None:
    found = only(folder, PLAYBOOK)
    assert found.stores[0].name == f"dotenv {folder}/.env#KEY"
    assert found.consumers[0].restarter.pid_file == f"{folder}/run/x.pid"  # type: ignore[attr-defined]
    assert found.provider.admin_key == Reference("file", f"{folder}/keys/admin")  # type: ignore[attr-defined]


def test_what_a_rotation_keeps_has_absolute_paths(folder: Path) -> None:
    held = json.loads(carry.kept(only(folder, PLAYBOOK)))
    assert held["folder"] == str(folder)
    assert held["data"]["store"] == [{"uses": "dotenv", "path": f"{folder}/.env", "key": "KEY"}]
    assert held["data"]["generate"]["admin_key"] == {"file": f"{folder}/keys/admin"}
    assert held["data"]["restart"] == [{"uses": "process", "pid_file": f"{folder}/run/x.pid"}]


ENTRIES = [
    ("store", "uses: dotenv, path: a, key: KEY, ssh_config: a", {"path", "ssh_config"}),
    ("store", "uses: file, path: a", {"path"}),
    ("store", "uses: systemd-creds, path: a", {"path"}),
    ("store", "uses: kubernetes, secret: n/s, key: K, kubeconfig: a", {"kubeconfig"}),
    ("store", "uses: vault, path: a/s, key: K, ca_cert: a, auth: {file: a}", {"ca_cert", "auth"}),
    (
        "store",
        "uses: vault, path: a/s, key: K, auth: {kubernetes: {role: r, token_file: a}}",
        {"auth"},
    ),
    (
        "store",
        "uses: vault, path: a/s, key: K, auth: {approle: {role_id: r, secret_id: {file: a}}}",
        {"auth"},
    ),
    (
        "store",
        "uses: aws-ssm, parameter: a, credentials: {access_key_id: {file: a}}",
        {"credentials"},
    ),
    ("store", "uses: command, write: [./a, ./a], read: [./a]", {"write", "read"}),
    ("restart", "uses: process, pid_file: a", {"pid_file"}),
    ("restart", "uses: docker, containers: [a], env_file: a, host: 'unix:///a'", {"env_file"}),
    ("restart", "uses: compose, services: [a], file: a, command: [./a]", {"file", "command"}),
    ("restart", "uses: kubernetes, workloads: [deployment/a], kubeconfig: a", {"kubeconfig"}),
    ("restart", "uses: systemd, units: [a], host: h, ssh_config: a", {"ssh_config"}),
    ("restart", "uses: command, run: [./a], ready: [./a]", {"run", "ready"}),
    ("verify", "uses: command, run: [./a]", {"run"}),
    (
        "generate",
        "uses: command, generate: [./a], list: [./a], revoke: [./a], probe: [./a]",
        set("glrp"),
    ),
    ("generate", "uses: openai, project: a, admin_key: {command: [./a, ./a]}", {"admin_key"}),
    ("generate", "uses: dakora, project: a, base_url: 'http://a', token: {file: a}", {"token"}),
    ("generate", "uses: openrouter, management_key: {file: a}", {"management_key"}),
    ("generate", "uses: aws-iam, credentials: {access_key_id: {file: a}}", {"credentials"}),
]


@pytest.mark.parametrize(
    ("part", "entry", "changed"),
    ENTRIES,
    ids=[f"{part} {entry}"[:40] for part, entry, _ in ENTRIES],
)
def test_every_path_of_every_plugin_is_resolved(
    folder: Path, part: str, entry: str, changed: set[str]
) -> None:
    """What is no path stays: names, addresses, arguments, a path within Vault."""
    keys = "keys: {A: access_key_id, B: secret_access_key}" if "aws-iam" in entry else "key: A"
    parts = {"generate": "uses: operator", "store": f"uses: dotenv, path: /x, {keys}", part: entry}
    body = "".join(f"{name}: {{{value}}}\n" for name, value in parts.items())
    found = only(folder, f"evidence: none\n{body}")
    then, now = found.written[part], found.definition[part]
    differing = {name for name in then if then[name] != now[name]}
    assert differing == changed or {name[0] for name in differing} == changed
    text = json.dumps([now[name] for name in differing])
    assert text.count(f"{folder}/a") == len(differing)


def test_no_setting_that_is_a_file_was_forgotten() -> None:
    """Whoever adds a plugin with a file or a program says so: `path=True` or `program=True`."""
    for kind in KINDS:
        for name in Registry().names(kind):
            plugin: Any = Registry().find(kind, name)
            for field in (one for one in dataclasses.fields(plugin) if "help" in one.metadata):
                spelled, said = (
                    field.metadata["spelled"] or field.name,
                    f"{field.name} {field.metadata['help']}",
                )
                if re.search(r"file\b|\bpath|cert|program|argv|~/", said, re.IGNORECASE):
                    declared = field.metadata["path"] or field.metadata["program"]
                    assert declared or {spelled, f"{name} {spelled}"} & NO_PATHS, (
                        f"{kind} {name}: is {spelled} a path?"
                    )
            assert "folder" not in [found.name for found in settings_of(plugin)], (
                "handed over, no setting"
            )


def test_each_variant_of_for_each_has_its_own(folder: Path) -> None:
    text = PLAYBOOK.replace("./.env", '"{name}/.env"') + "for_each: [{name: eu}, {name: us}]\n"
    found = load(folder, text)
    assert [p.stores[0].name for p in found.playbooks.values()] == [
        f"dotenv {folder}/eu/.env#KEY",
        f"dotenv {folder}/us/.env#KEY",
    ]


def test_a_folder_that_is_a_link_is_not_followed(folder: Path) -> None:
    """A ConfigMap's files are links into a folder whose name changes; the mount's name is the one
    that stays.
    """
    data = folder / "..2026_01"
    data.mkdir()
    (data / "one.yaml").write_text(PLAYBOOK)
    (folder / "..data").symlink_to(data.name)
    (folder / "one.yaml").symlink_to("..data/one.yaml")
    mounted = folder.parent / "current"
    mounted.symlink_to(folder)
    (found,) = Directory((mounted,)).load().playbooks.values()
    assert (found.folder, found.stores[0].name) == (str(mounted), f"dotenv {mounted}/.env#KEY")


def test_two_spellings_of_one_file_are_one_field(folder: Path) -> None:
    (folder / "two.yaml").write_text(PLAYBOOK.replace("./.env", "../books/.env"))
    assert "one writes dotenv" in load(folder, PLAYBOOK).mistakes[0].text


def test_dots_behind_a_link_stay(tmp_path: Path) -> None:
    """`..` of a link is the parent of what it leads to, as for every other program."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    assert absolute("link/../x", tmp_path) == f"{tmp_path}/link/../x"
    assert absolute("real/../x", tmp_path) == f"{tmp_path}/x"
    assert absolute("./a//b/./c", tmp_path) == f"{tmp_path}/a/b/c"


def test_the_home_is_that_of_who_runs_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    assert store(folder, path="~/app/key").name == "file /home/ops/app/key"
    assert store(folder, path="~root/key").name == f"file {Path('~root').expanduser()}/key"
    assert store(folder, path="./~/key").name == f"file {folder}/~/key"


@pytest.mark.parametrize(
    ("path", "text", "hint"),
    [
        ("''", "'path' is empty", "the file"),
        ("'  '", "cannot be a path: it is blank", ""),
        (r'"a\0b"', "cannot be a path: it has a character that cannot be seen", ""),
        (r'"/srv/.env\n"', "cannot be a path", "on one line"),
        ("~nobody-here/.env", "there is no user nobody-here", "./~nobody-here/.env"),
    ],
)
def test_what_cannot_be_a_path_is_a_mistake(folder: Path, path: str, text: str, hint: str) -> None:
    place, told, way = mistake(folder, PLAYBOOK.replace("./.env", path))
    assert place == "3:26" and text in told and hint in way, (place, told, way)


@pytest.mark.parametrize("run", ["[]", "['']"])
def test_a_program_without_a_name_is_a_mistake(folder: Path, run: str) -> None:
    text = PLAYBOOK.replace("uses: process, pid_file: run/x.pid", f"uses: command, run: {run}")
    assert "'run' names no program" in mistake(folder, text + "evidence: none\n")[1]


@pytest.mark.parametrize("settings", [{"host": "web-1"}, {"host": "[web-1, web-2]"}])
def test_a_relative_path_on_another_host_is_refused(folder: Path, settings: dict[str, str]) -> None:
    given = "".join(f", {name}: {value}" for name, value in settings.items())
    place, text, hint = mistake(folder, PLAYBOOK.replace("key: KEY", f"key: KEY{given}"))
    assert (place, text) == ("3:5", "./.env is no absolute path") and "begins with /" in hint
    assert store(folder, path="~/key", **settings | {"host": "web-1"}).path == "~/key", (
        "the home there"
    )


def test_a_file_that_is_only_where_rotator_was_started_is_a_mistake(folder: Path) -> None:
    """As it was read before: a new file would be made, and the real one forgotten."""
    here = Path.cwd() / ".env"
    here.write_text("KEY=sk-1\n")
    place, text, hint = mistake(folder, PLAYBOOK)
    assert place == "3:26" and f"{folder}/.env is not there, but {here} is" in text
    assert hint == f"move it there, or write {here}"
    here.rename(folder / ".env")
    assert not load(folder, PLAYBOOK).mistakes


@pytest.mark.parametrize("run", ["[./restart.sh]", "[sh, restart.sh]", "[sh, -e, ./restart.sh]"])
def test_a_program_that_is_only_where_rotator_was_started_is_a_mistake(
    folder: Path, run: str
) -> None:
    text = (
        PLAYBOOK.replace("uses: process, pid_file: run/x.pid", f"uses: command, run: {run}")
        + "evidence: none\n"
    )
    assert not load(folder, text).mistakes, "nobody knows yet where it will be"
    (Path.cwd() / "restart.sh").write_text("true\n")
    place, told, hint = mistake(folder, text + "\n")
    assert (
        place.startswith("5:") and "restart.sh" in told and str(Path.cwd() / "restart.sh") in hint
    )
    (folder / "restart.sh").write_text("true\n")
    assert not load(folder, text).mistakes


def test_programs_run_in_the_playbooks_folder(folder: Path) -> None:
    (folder / "put.sh").write_text("#!/bin/sh\ncat >held\n")
    (folder / "put.sh").chmod(0o755)
    text = """\
generate: {uses: command, generate: [sh, -c, 'printf %s "$PWD"']}
store: {uses: command, write: [./put.sh], read: [cat, held]}
restart: {uses: command, run: [touch, restarted], ready: [test, -e, restarted]}
evidence: answers
verify: {uses: command, run: [cp, held, seen]}
"""
    (folder / "held").write_text("sk-1")
    found = only(folder, text)
    held = found.stores[0].store.read()
    assert held is not None and held.values == {"key": Secret("sk-1")}
    found.stores[0].store.write(single("sk-2"), held.version, NOTE)
    assert (folder / "held").read_text() == "sk-2"
    found.probes[0].probe(single("sk-2"))
    assert (folder / "seen").read_text() == "sk-2" and not list(Path.cwd().iterdir())
    made = found.provider.generate(dataclasses.make_dataclass("L", [("text", str)])("label"), None)  # type: ignore[arg-type]
    assert isinstance(made, Credential) and made.primary.reveal() == str(folder)


def test_the_command_of_a_reference_runs_there_too(folder: Path) -> None:
    (folder / "admin").write_text("sk-admin\n")
    found = only(folder, PLAYBOOK.replace("{file: keys/admin}", "{command: [cat, admin]}"))
    assert found.provider.admin_key.resolve().reveal() == "sk-admin"  # type: ignore[attr-defined]


def test_a_folder_that_is_gone_is_told(folder: Path) -> None:
    found = only(folder, PLAYBOOK.replace("{file: keys/admin}", "{command: [echo, sk]}"))
    gone = in_folder(found.provider, str(folder / "gone"))
    with pytest.raises(NotFound, match="gone does not exist"):
        gone.admin_key.resolve()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Own:
    """A user's own plugin."""

    files: list[str] = setting("Files", path=True, default_factory=list)
    folder: str = setting("A folder of its own", default="")
    home: str = playbook_folder()


def test_a_users_own_plugin_asks_for_the_folder_by_a_field() -> None:
    own = in_folder(_Own(folder="mine"), "/books")
    assert (own.folder, own.home) == ("mine", "/books")


class TestARotationFromBefore:
    """Its definition has the paths as they were written; where it was started, nobody
    wrote down.
    """

    def before(self, folder: Path, text: str = PLAYBOOK) -> str:
        """As it was kept before."""
        book = only(folder, text)
        return json.dumps({"file": "one.yaml", "data": book.written})

    def test_asks_rather_than_guesses(self, folder: Path) -> None:
        held, today = self.before(folder), only(folder, PLAYBOOK)
        with pytest.raises(ConfigError) as told:
            carry.playbook_of("one", held, today, Registry())
        assert f"{folder}/.env" in told.value.message and f"{Path.cwd()}/.env" in told.value.message
        assert "absolute path" in told.value.hint

    def test_goes_on_where_both_readings_are_one(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held, today = self.before(folder), only(folder, PLAYBOOK)
        monkeypatch.chdir(folder)
        found = carry.playbook_of("one", held, today, Registry())
        assert found is today

    def test_goes_on_with_the_absolute_path_that_a_person_wrote_since(self, folder: Path) -> None:
        held = self.before(folder)
        text = PLAYBOOK.replace("./.env", "/srv/app/.env").replace(
            "run/x.pid", "/srv/app/run/x.pid"
        )
        found = carry.playbook_of("one", held, only(folder, text), Registry())
        assert found.stores[0].name == "dotenv /srv/app/.env#KEY"
        assert found.consumers[0].restarter.pid_file == "/srv/app/run/x.pid"  # type: ignore[attr-defined]

    def test_goes_on_with_the_path_from_the_playbooks_folder_that_a_person_wrote_since(
        self, folder: Path
    ) -> None:
        """Run from the project's folder, `app/.env` was the project's; now it is `../app/.env`."""
        held = self.before(
            folder, PLAYBOOK.replace("./.env", "app/.env").replace("run/x.pid", "/run/x.pid")
        )
        text = PLAYBOOK.replace("./.env", "../app/.env").replace("run/x.pid", "/run/x.pid")
        found = carry.playbook_of("one", held, only(folder, text), Registry())
        assert found.stores[0].name == f"dotenv {folder.parent}/app/.env#KEY"

    def test_another_file_is_not_taken_for_it(self, folder: Path) -> None:
        held, text = self.before(folder), PLAYBOOK.replace("./.env", "/srv/app/other.env")
        with pytest.raises(ConfigError, match="relative path ./.env"):
            carry.playbook_of("one", held, only(folder, text), Registry())

    def test_asks_too_where_its_playbook_is_gone(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match="relative path"):
            carry.playbook_of(
                "one",
                self.before(folder).replace("one.yaml", f"{folder}/one.yaml"),
                None,
                Registry(),
            )

    def test_with_absolute_paths_goes_on_anywhere(self, folder: Path) -> None:
        text = PLAYBOOK.replace("./.env", "/srv/.env").replace("run/x.pid", "/run/x.pid")
        text = text.replace("keys/admin", "/keys/admin")
        held = self.before(folder, text)
        assert (
            carry.playbook_of("one", held, None, Registry()).stores[0].name
            == "dotenv /srv/.env#KEY"
        )

    def test_an_argument_that_is_a_file_here_is_asked_about(self, folder: Path) -> None:
        run = "uses: command, run: [sh, restart.sh]"
        text = PLAYBOOK.replace("uses: process, pid_file: run/x.pid", run).replace(
            "./.env", "/srv/.env"
        )
        held = self.before(folder, text + "evidence: none\n")
        (folder / "restart.sh").touch()
        (Path.cwd() / "restart.sh").touch()
        with pytest.raises(ConfigError, match=r"relative path restart\.sh"):
            carry.playbook_of("one", held, only(folder, text + "evidence: none\n"), Registry())


def test_a_rotation_goes_on_from_any_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = only(folder, PLAYBOOK)
    monkeypatch.chdir("/")
    found = carry.playbook_of("one", carry.kept(book), None, Registry())
    assert (found.stores[0].name, found.folder) == (book.stores[0].name, str(folder))


def test_where_the_playbook_was_moved_its_programs_run_where_it_is(folder: Path) -> None:
    held = carry.kept(only(folder, PLAYBOOK.replace("./.env", "/srv/.env")))
    moved = folder.rename(folder.parent / "moved")
    found = carry.playbook_of(
        "one", held, only(moved, PLAYBOOK.replace("./.env", "/srv/x.env")), Registry()
    )
    assert (found.stores[0].name, found.folder) == ("dotenv /srv/.env#KEY", str(moved))


def test_a_mistake_is_at_a_place_that_can_be_typed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the working directory on; whole elsewhere, and in a service, which works in the root."""
    broken = folder / "broken.yaml"
    broken.write_text("generate: {uses: openai\n")
    for here, told in ((folder, "broken.yaml"), (folder / "..", "books/broken.yaml")):
        monkeypatch.chdir(here)
        (mistake,) = Directory((folder,)).load().mistakes
        assert mistake.place.startswith(f"{told}:2"), here
    for here in (folder.parent / "elsewhere", Path("/")):
        monkeypatch.chdir(here)
        (mistake,) = Directory((folder,)).load().mistakes
        assert mistake.place.startswith(f"{broken}:2"), here


def test_an_argument_that_is_longer_than_any_files_name_is_no_file(folder: Path) -> None:
    """A query, a token of a service: its playbook did not load, nor did any other."""
    text = f"store: {{uses: command, write: [/bin/true, {'x' * 300}]}}"
    found = only(folder, f"generate: {{uses: operator}}\n{text}\n")
    assert len(found.stores) == 1
