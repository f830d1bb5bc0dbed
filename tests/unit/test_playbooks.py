"""Playbooks: every mistake at once, each with its place and the nearest right word."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from rotator import durations
from rotator.cli.common import playbook_names
from rotator.errors import ConfigError, NotFound
from rotator.integrations.files.dotenv import DotenvStore
from rotator.integrations.memory.store import MemoryStore
from rotator.integrations.prometheus.monitor import PrometheusMonitor
from rotator.integrations.webhook.channel import Webhook
from rotator.model import Evidence
from rotator.playbook import carry
from rotator.playbook.directory import Directory, Loaded
from rotator.playbook.json_schema import playbook_schema
from rotator.playbook.registry import Registry
from rotator.plugin import Addressed, has
from rotator.plugin.channel import USUAL, Kind
from rotator.reference import Reference
from rotator.schedules.rules import Rules

ROOT = Path(__file__).parent.parent.parent
GOOD = """\
generate: {uses: openai, project: proj_1, admin_key: {env: ADMIN}}
store:
  - {uses: dotenv, path: /tmp/x/.env, key: OPENAI_API_KEY}
restart:
  - {uses: process, pid_file: /run/x.pid}
"""


def load(folder: Path, **files: str) -> Loaded:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return Directory((folder,)).load()


def only(folder: Path, text: str) -> tuple[str, str, str]:
    """Place, text and hint of the one mistake of a file."""
    found = load(folder, one=text).mistakes
    assert len(found) == 1, found
    return f"{found[0].line}:{found[0].column}", found[0].text, found[0].hint


def test_a_right_playbook_loads(tmp_path: Path) -> None:
    found = load(tmp_path, one=GOOD)
    assert (
        not found.mistakes and found.playbooks["one"].plan.consumers[0].evidence is Evidence.STARTED
    )


@pytest.mark.parametrize(
    ("change", "place", "text", "hint"),
    [
        (("pid_file", "pidfile"), "5:21", "unknown key 'pidfile'", "did you mean 'pid_file'?"),
        (
            ("uses: openai", "uses: opnai"),
            "1:18",
            "there is no provider 'opnai'",
            "did you mean 'openai'?",
        ),
        (("_API_KEY}", "_API_KEY, create: soon}"), "3:68", "not a truth value", "true or false"),
        (
            ("{env: ADMIN}", "sk-admin-written-out"),
            "1:54",
            "a secret written out in a playbook",
            "",
        ),
        (("{env: ADMIN}", "{evn: ADMIN}"), "1:54", "unknown kind of reference 'evn'", ""),
        (("store:", "stores:"), "2:1", "unknown key 'stores'", "did you mean 'store'?"),
        (("restart:", "schedule: {every: 30}\nrestart:"), "4:19", "not a duration", ""),
        (
            ("restart:", "schedule: {cron: '0 25 * * *'}\nrestart:"),
            "4:18",
            "not a cron expression",
            "",
        ),
        (
            ("restart:", "revoke: {grase: 1h}\nrestart:"),
            "4:10",
            "unknown key 'grase'",
            "did you mean 'grace'?",
        ),
        (
            ("restart:", "approval: 2\nrestart:"),
            "4:1",
            "'approval' is of a later version",
            "remove it",
        ),
        (("restart:", "evidence: seen\nrestart:"), "4:11", "evidence", ""),
        (
            ("restart:", "evidence: read\nrestart:"),
            "6:5",
            "can only show 'started'",
            "say `evidence: started`",
        ),
        (("pid_file: /run/x.pid", "pid_file: [1]"), "5:31", "pid_file", ""),
        (("project: proj_1, ", ""), "1:11", "'project' is missing", ""),
        (("restart:", "restart:\n\t- x"), "5:1", "is not YAML", ""),
        (("path: /tmp/x/.env", "path: /a, path: /b"), "3:30", "'path' stands here twice", ""),
    ],
)
def test_each_mistake_has_its_place_and_a_way_out(tmp_path, change, place, text, hint) -> None:  # type: ignore[no-untyped-def]
    text_of = GOOD.replace(*change)
    found = load(tmp_path, one=text_of).mistakes
    assert any(
        f"{m.line}:{m.column}" == place and text in m.text and hint in m.hint for m in found
    ), found


AWS = """\
generate: {uses: aws-iam, user: app}
store: [{uses: dotenv, path: /tmp/x/.env, keys: {A: secret_access_key, B: access_key_id}}]
"""


@pytest.mark.parametrize(
    ("change", "text", "hint"),
    [
        (
            ("keys: {A: secret_access_key, B: access_key_id}", "key: A"),
            "more than one text",
            "secret_access_key",
        ),
        (
            ("B: access_key_id", "B: acces_key_id"),
            "has no 'acces_key_id'",
            "did you mean 'access_key_id'?",
        ),
        (
            ("A: secret_access_key, ", ""),
            "'secret_access_key' is missing",
            "add `NAME: secret_access_key`",
        ),
    ],
)
def test_a_key_of_several_values_is_kept_as_a_whole(tmp_path, change, text, hint) -> None:  # type: ignore[no-untyped-def]
    assert not load(tmp_path, one=AWS).mistakes
    found = load(tmp_path, one=AWS.replace(*change)).mistakes
    assert any(text in m.text and hint in m.hint for m in found), found


def test_all_mistakes_of_all_files_come_together_and_the_good_ones_load(tmp_path: Path) -> None:
    bad = GOOD.replace("openai", "opnai").replace("dotenv", "dotnev")
    found = load(tmp_path, a=bad, b=bad, c=GOOD)
    assert len(found.mistakes) == 4 and list(found.playbooks) == ["c"]


def test_two_playbooks_that_write_one_field_are_a_mistake(tmp_path: Path) -> None:
    found = load(tmp_path, a=GOOD, b=GOOD)
    assert "a writes dotenv" in found.mistakes[0].text and list(found.playbooks) == ["a"]


def test_multiplying_aliases_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
    )
    assert "more parts" in only(tmp_path, bomb)[1]


def test_a_change_on_disk_is_seen(tmp_path: Path) -> None:
    directory = Directory((tmp_path,))
    assert directory.load().files == 0
    (tmp_path / "one.yaml").write_text(GOOD)
    assert list(directory.load().playbooks) == ["one"]
    assert directory.load() is directory.load(), "read again only when something changed"


def test_what_is_no_playbook_is_told_each_with_its_sentence_and_the_good_one_loads(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yml").symlink_to("nowhere.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / ".#good.yaml").symlink_to("me@host.42")  # Emacs, while good.yaml is edited
    found = load(tmp_path, good=GOOD)
    assert {Path(m.place).name: m.text for m in found.mistakes} == {
        "folder.yaml": "is a directory, not a playbook",
        "link.yml": "is a link to nowhere.yaml, which does not exist",
        "loop.yaml": "cannot be read: Too many levels of symbolic links",
        "pipe.yaml": "is a device, pipe or socket, not a playbook",
    }
    assert (
        all(m.hint for m in found.mistakes)
        and list(found.playbooks) == ["good"]
        and found.files == 5
    )


@contextlib.contextmanager
def somebody() -> Iterator[None]:
    """A user who may not read what is closed: whoever runs the tests, if that is not root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_may_not_be_read_is_told_and_is_read_once_it_may() -> None:
    """A file, a directory, a directory on the way."""
    with tempfile.TemporaryDirectory(prefix="rotator-test-") as folder:
        one, two, inner = Path(folder, "one"), Path(folder, "two"), Path(folder, "two", "inner")
        Path(folder).chmod(0o755)
        one.mkdir()
        inner.mkdir(parents=True)
        load(one, a=GOOD)  # plugins are imported by now
        (one / "a.yaml").chmod(0)
        two.chmod(0)
        directory = Directory((one, two, inner))
        with somebody():
            found = directory.load()
        two.chmod(0o755)
        (one / "a.yaml").chmod(0o644)
        with somebody():
            then = directory.load()
    assert {m.place: m.text for m in found.mistakes} == {
        f"{one / 'a.yaml'}:1:1": "cannot be read: Permission denied",
        str(two): "the directory cannot be read: Permission denied",
        str(inner): "the directory cannot be read: Permission denied",
    }
    assert not then.mistakes and list(then.playbooks) == ["a"], "a changed permission is seen, too"


def test_no_playbook_at_all_is_a_mistake_of_each_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directories are told as they were looked at: absolute."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    found = Directory((Path("empty"), Path("none"))).load()
    assert {m.place: m.text for m in found.mistakes} == {
        f"{tmp_path}/empty": "the directory holds no playbook",
        f"{tmp_path}/none": "the directory does not exist",
    }
    assert all(
        "ROTATOR_PLAYBOOKS" in m.hint and str(ROOT / "playbooks") in m.hint for m in found.mistakes
    )
    with pytest.raises(ConfigError) as told:
        found.get("x")
    text = (
        f"there is no playbook 'x' in {tmp_path}/empty (the directory holds no playbook),"
        f" {tmp_path}/none (the"
    )
    assert str(told.value).startswith(text)


def test_a_file_of_no_playbooks_is_a_mistake(tmp_path: Path) -> None:
    assert "no playbook comes of this file" in only(tmp_path, GOOD + "for_each: []\n")[1]


def test_playbooks_are_found_where_the_working_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "playbooks").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert not load(tmp_path / "playbooks", one=GOOD).mistakes
    assert Directory((Path("playbooks"),)).load().mistakes[0].place == "playbooks"


def test_an_empty_directory_beside_a_full_one_is_all_right(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one.yaml").write_text(GOOD)
    assert not Directory((tmp_path, tmp_path / "empty")).load().mistakes
    assert list(Directory((tmp_path / "one.yaml",)).load().playbooks) == ["one"], (
        "a file is named itself"
    )


def test_a_catalog_file_that_cannot_be_read_is_a_mistake_of_the_playbook(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "ours.yaml").symlink_to("nowhere")
    loaded = load(tmp_path, one=GOOD.replace("uses: openai", "uses: ours"))
    ((here,), (there,)) = loaded.following, loaded.mistakes
    assert here.text == "the catalog file of 'ours' is wrong" and there.file in here.hint
    assert (
        there.file.endswith("providers/ours.yaml")
        and there.text == "cannot be read: No such file or directory"
    )


def test_for_each_makes_one_playbook_for_each(tmp_path: Path) -> None:
    text = (
        GOOD.replace("/tmp/x/.env", '"/srv/{name}/.env"') + "for_each: [{name: api}, {name: web}]\n"
    )
    found = load(tmp_path, svc=text)
    assert [p.stores[0].name for p in found.playbooks.values()] == [
        "dotenv /srv/api/.env#OPENAI_API_KEY",
        "dotenv /srv/web/.env#OPENAI_API_KEY",
    ]
    assert sorted(found.playbooks) == ["svc-api", "svc-web"]


POOL = GOOD.replace("key: OPENAI_API_KEY", "key: '{member}'")


def test_a_pool_makes_a_playbook_for_each_of_its_keys(tmp_path: Path) -> None:
    found = load(tmp_path, gate=POOL + "pool: [OPENAI_API_KEY, OPENAI_API_KEY_1]\n")
    assert not found.mistakes
    assert sorted(found.playbooks) == ["gate-openai_api_key", "gate-openai_api_key_1"]
    for name, playbook in found.playbooks.items():
        assert playbook.stores[0].name == f"dotenv /tmp/x/.env#{name.upper().removeprefix('GATE-')}"
        assert playbook.shape.group == "gate", "one at a time"
        assert [other for other, _ in playbook.pool] == [n for n in found.playbooks if n != name]
    assert found.meant(["gate", "gate-openai_api_key", "other"]) == [*found.playbooks, "other"]
    with pytest.raises(ConfigError, match="gate is several playbooks: gate-openai_api_key, "):
        found.get("gate")


def test_a_key_is_that_of_one_of_several_playbooks(tmp_path: Path) -> None:
    found = load(tmp_path, gate=POOL + "pool: [A, B]\n")
    assert found.meant(["gate-a"], "key_1") == ["gate-a"]
    with pytest.raises(ConfigError, match="key_1 is a key of one of gate-a, gate-b"):
        found.meant(["gate"], "key_1")


def test_a_pool_that_shrinks_to_one_key_keeps_that_ones_name(tmp_path: Path) -> None:
    found = load(tmp_path, gate=POOL + "pool: [A]\n")
    assert not found.mistakes and list(found.playbooks) == ["gate-a"]


def test_a_shell_completes_files_and_the_playbooks_that_they_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openai.yaml").write_text(POOL + "pool: [OPENAI_API_KEY, OPENAI_API_KEY_1, 3]\n")
    (tmp_path / "open.yaml").write_text("for_each: [{name: eu}, {name: us}, {x: 1}, 3]\n")
    (tmp_path / "opener.yaml").write_text(GOOD)
    (tmp_path / "opus.yaml").write_bytes(b"pool: \xff\n")
    (tmp_path / "opal.yaml").write_text("pool: 3\n")
    (tmp_path / "ops.yaml").write_text("- |\npool: [A]\n")
    (tmp_path / "other.yaml").write_text("")
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", str(tmp_path))
    found = playbook_names(None, None, "op")  # type: ignore[arg-type]
    several = ["openai", "openai-openai_api_key", "openai-openai_api_key_1"]
    assert found == ["opal", "open", "open-eu", "open-us", *several, "opener", "ops", "opus"]


@pytest.mark.parametrize(
    ("text", "place", "wrong"),
    [
        (POOL + "pool: []\n", "6:7", "a pool is a list of its keys"),
        (POOL + "pool: A\n", "6:7", "a pool is a list of its keys"),
        (POOL + f"pool: [{', '.join(f'A{n}' for n in range(1001))}]\n", "6:7", "more than 1000"),
        (
            POOL
            + f"description: {'x' * 999_000}\npool: [{', '.join(f'A{n}' for n in range(30))}]\n",
            "7:7",
            "20 MB of playbooks",
        ),
        (POOL.replace("'{member}'", "{member}") + "pool: [A, B]\n", "3:5", "every store of a pool"),
        (POOL + "pool: [A, a]\n", "6:11", "a is in the pool twice"),
        (POOL + "pool: [A, 'B C']\n", "6:11", "'B C' cannot be a key's name"),
        (POOL + "pool: [A, B]\nfor_each: [{name: x}]\n", "6:7", "not both"),
        (GOOD + "pool: [A, B]\n", "3:5", "every store of a pool says {member}"),
        (
            GOOD.replace("  - {uses: dotenv", "  {uses: dotenv") + "pool: [A, B]\n",
            "3:3",
            "every store of a pool says {member}",
        ),
        (
            POOL.replace("restart:", "  - {uses: file, path: /tmp/x/key}\nrestart:")
            + "pool: [A, B]\n",
            "4:5",
            "every store of a pool says {member}",
        ),
        (POOL + "pool: [A, B]\ndescription: '{name}'\n", "7:14", "{name} stands in the playbook"),
    ],
)
def test_what_is_no_pool_is_a_mistake(tmp_path: Path, text: str, place: str, wrong: str) -> None:
    where, told, _ = only(tmp_path, text)
    assert wrong in told and where == place


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        load(tmp_path, billing=GOOD).get("biling")
    assert told.value.hint == "did you mean 'billing'?"


def test_a_rotation_keeps_its_playbook_but_connects_as_today(tmp_path: Path) -> None:
    then = load(tmp_path, one=GOOD).playbooks["one"]
    today_text = GOOD.replace("{env: ADMIN}", "{env: OTHER}").replace("/run/x.pid", "/run/y.pid")
    today = load(tmp_path, one=today_text).playbooks["one"]
    found = carry.playbook_of("one", carry.kept(then), today, Registry())
    assert found.provider.admin_key == Reference("env", "OTHER")  # type: ignore[attr-defined]
    assert found.consumers[0].restarter.pid_file == "/run/x.pid"  # type: ignore[attr-defined]


def test_a_monitor_of_what_was_begun_is_asked_where_it_is_today(tmp_path: Path) -> None:
    """An old key lives for weeks; meanwhile Prometheus moves."""
    text = (
        GOOD + "monitor: {uses: prometheus, url: 'http://old:9090', query: up, token: {env: A}}\n"
    )
    then = load(tmp_path, one=text).playbooks["one"]
    moved = text.replace("old:9090", "new:9090").replace("env: A}", "env: B}")
    today = load(tmp_path, one=moved.replace("query: up", "query: down")).playbooks["one"]
    found = carry.playbook_of("one", carry.kept(then), today, Registry()).monitor
    assert found == PrometheusMonitor(
        url="http://new:9090", query="up", token=Reference("env", "B")
    )


def test_the_json_schema_agrees_with_the_loader(tmp_path: Path) -> None:
    schema = playbook_schema(Registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace("pid_file", "pidfile")), schema)
    json.dumps(schema)


def test_shipped_playbooks_load() -> None:
    loaded = Directory((ROOT / "playbooks",)).load()
    assert not loaded.mistakes and len(loaded.playbooks) >= 3


def test_a_users_own_catalog_file_stands_beside_the_playbooks(tmp_path: Path) -> None:
    """Adding a provider is one YAML file."""
    (tmp_path / "providers").mkdir()
    shipped = (ROOT / "rotator/integrations/catalog/entries/openrouter.yaml").read_text()
    (tmp_path / "providers" / "ours.yaml").write_text(shipped.replace("OpenRouter", "Ours"))
    text = GOOD.replace(
        "uses: openai, project: proj_1, admin_key: {env: ADMIN}",
        "uses: ours, management_key: {env: K}",
    )
    assert load(tmp_path, one=text).playbooks["one"].provider.entry.name == "Ours"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", 2_592_000),
        ("1h30m", 5_400),
        ("1 h 30 min", 5_400),
        ("1 d", 86_400),
        ("1 d 4h", 100_800),
        (" 10min ", 600),
        ("0s", 0),
        ("250ms", 0.25),
        ("1m30s", 90),
        (0, 0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["30", 30, "1 hour", "-5m", "", True, "5m 3", "1 2h", "1min2", "m"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        durations.seconds(text)


@pytest.mark.parametrize(
    ("written", "seconds"), [("1s", 1), ("5 min", 300), (90, 90), (2.5, 2.5), (0, 0)]
)
@pytest.mark.parametrize(
    ("kind", "uses", "setting", "others"),
    [("restarter", "none", "within", {}), ("probe", "command", "timeout", {"run": ["true"]})],
)
def test_a_plugins_durations_are_written_like_a_playbooks(
    kind: str, uses: str, setting: str, others: dict[str, object], written: object, seconds: float
) -> None:
    """A number alone goes on being seconds there: playbooks in the journal have them."""
    plugin = Registry().find(kind, uses)
    assert plugin is not None
    made = TypeAdapter(plugin).validate_python({setting: written, **others})
    assert getattr(made, setting) == seconds


@pytest.mark.parametrize("written", [-1, float("inf"), float("nan"), True, "soon"])
def test_what_is_no_duration_of_a_plugin_is_refused(written: object) -> None:
    plugin = Registry().find("restarter", "none")
    assert plugin is not None
    with pytest.raises(ValidationError, match="duration"):
        TypeAdapter(plugin).validate_python({"within": written})


class TestSchedule:
    """Counted from the moment that the last success belonged to."""

    monday = 1_795_392_000.0  # 2026-11-23 00:00 UTC, a Monday

    def test_every_counts_from_the_last_success(self) -> None:
        assert Rules(86_400).moment(self.monday) == self.monday + 86_400
        assert Rules(86_400).moment(None) == 0.0

    @pytest.mark.parametrize(
        ("cron", "days"),
        [
            ("0 3 * * 1", 0),
            ("0 3 * * 0", 6),
            ("0 3 * * 7", 6),
            ("0 3 * * mon-fri", 0),
            ("0 3 * * 2-4", 1),
            ("0 3 * * 0-2", 0),
        ],
    )
    def test_cron_counts_weekdays_as_crontab_does(self, cron: str, days: int) -> None:
        """APScheduler counts from Monday; crontab's 0 and 7 are Sunday."""
        assert Rules(cron=cron).moment(self.monday) == self.monday + days * 86_400 + 3 * 3_600

    @pytest.mark.parametrize(
        ("cron", "expected"),
        [
            (
                "0 3 1,15 * 5",
                ["Fri 27 Nov", "Tue 01 Dec", "Fri 04 Dec", "Fri 11 Dec", "Tue 15 Dec"],
            ),
            ("0 0 13 * 5", ["Fri 27 Nov", "Fri 04 Dec", "Fri 11 Dec", "Sun 13 Dec", "Fri 18 Dec"]),
            (
                "0 0 13 * fri-sun",
                ["Fri 27 Nov", "Sat 28 Nov", "Sun 29 Nov", "Fri 04 Dec", "Sat 05 Dec"],
            ),
            ("0 0 */2 * 1", ["Mon 07 Dec", "Mon 21 Dec", "Mon 11 Jan", "Mon 25 Jan", "Mon 01 Feb"]),
            (
                "0 0 13 * */2",
                ["Sun 13 Dec", "Sat 13 Feb", "Sat 13 Mar", "Tue 13 Apr", "Thu 13 May"],
            ),
            ("0 0 1-7 * *", ["Tue 01 Dec", "Wed 02 Dec", "Thu 03 Dec", "Fri 04 Dec", "Sat 05 Dec"]),
            ("0 0 31 2 1", ["Mon 01 Feb", "Mon 08 Feb", "Mon 15 Feb", "Mon 22 Feb", "Mon 07 Feb"]),
        ],
    )
    def test_of_two_day_fields_either_is_enough_where_neither_has_a_star(
        self, cron: str, expected: list[str]
    ) -> None:
        """As crontab(5) has it; a star makes both of them count."""
        at, found = self.monday, []
        for _ in expected:
            at = Rules(cron=cron).moment(at) or 0.0
            found.append(datetime.fromtimestamp(at, UTC).strftime("%a %d %b"))
        assert found == expected

    @pytest.mark.parametrize(("every", "early"), [(60.0, 3.0), (3_600.0, 180.0), (86_400.0, 300.0)])
    def test_a_timer_may_come_a_little_early(self, every: float, early: float) -> None:
        due = self.monday + every
        assert Rules(every).is_due(self.monday, due - early)
        assert not Rules(every).is_due(self.monday, due - early - 0.5)
        assert Rules(every).belongs_to(self.monday, due - early) == due

    def test_a_cron_moment_never_comes_early(self) -> None:
        assert not Rules(cron="0 3 * * *").is_due(self.monday, self.monday + 3 * 3_600 - 1)
        assert Rules(cron="0 3 * * *").is_due(self.monday, self.monday + 3 * 3_600)


class TestReference:
    """Resolved at each call, never kept."""

    def test_a_changed_file_is_seen(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        reference = Reference.parse({"file": str(path)})
        with pytest.raises(NotFound):
            reference.resolve()
        for text in ("first\n", "second\r\n"):
            path.write_text(text)
            assert reference.resolve().reveal() == text.strip()

    def test_a_command_is_run_and_its_failure_told(self) -> None:
        assert (
            Reference.parse({"command": ["echo", "from a program"]}).resolve().reveal()
            == "from a program"
        )
        with pytest.raises(Exception, match="ended with 1"):
            Reference.parse({"command": ["false"]}).resolve()

    def test_an_empty_variable_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EMPTY", "")
        with pytest.raises(NotFound, match="empty"):
            Reference.parse({"env": "EMPTY"}).resolve()


def test_a_capability_is_that_of_a_class() -> None:
    assert has(DotenvStore(path="/a", key="B"), Addressed)
    assert not has(MemoryStore(cell="one"), Addressed)
    assert has(DotenvStore(path="/c", key="D"), Addressed), "asked once, and again"


def test_a_provider_that_cannot_try_a_key_is_no_probe(tmp_path: Path) -> None:
    """It would fail once the new key is in the stores: it is left out, and a mistake where it is
    named.
    """
    text = "generate: {uses: daft}\nstore: {uses: file, path: /srv/key}\n"
    (tmp_path / "one.yaml").write_text(text)
    loaded = Directory((tmp_path,)).load()
    assert not loaded.mistakes and loaded.playbooks["one"].probes == ()
    named = "verify: [{uses: http, url: 'http://127.0.0.1/'}, {uses: provider}]\n"
    (tmp_path / "one.yaml").write_text(text + named)
    (mistake,) = Directory((tmp_path,)).load().mistakes
    assert "daft has no call that only tries a key" in mistake.text and "http" in mistake.hint
    assert (mistake.line, mistake.column) == (3, 57)
    (tmp_path / "one.yaml").write_text(f"{text}verify: {{uses: provider}}\n")
    (mistake,) = Directory((tmp_path,)).load().mistakes
    assert (mistake.line, mistake.column) == (3, 16)


TOLD = GOOD + "notify:\n  - {uses: webhook, url: {env: HOOK}, secret: {file: ./hook}"


def test_whoever_is_told_is_named_by_number_and_told_the_usual(tmp_path: Path) -> None:
    found = load(tmp_path, one=TOLD + "}\n  - {uses: apprise, url: {env: CHAT}, when: done}\n")
    assert not found.mistakes
    first, second = found.playbooks["one"].channels
    assert (first.name, second.name) == ("one/1", "one/2")
    assert first.when == USUAL and second.when == (Kind.DONE,)
    assert isinstance(first.channel, Webhook)
    assert first.channel.secret == Reference("file", str(tmp_path / "hook"))


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        (TOLD + ", on: done}\n", "7:63", "`on` says where a playbook runs"),
        (TOLD + ", when: [gone]}\n", "7:69", "nobody is told of 'gone'"),
        (TOLD + ", before: soon}\n", "7:71", "'soon' is not a duration"),
        (TOLD + ", colour: red}\n", "7:63", "unknown key 'colour'"),
        (GOOD + "notify: {uses: slack, url: {env: A}}\n", "6:16", "there is no channel 'slack'"),
        (GOOD + "notify: {uses: apprise, url: 'slack://a'}\n", "6:30", "a secret written out"),
        (GOOD + "notify: {url: {env: A}}\n", "6:9", "a channel says which one it is"),
        (GOOD + "notify: [3]\n", "6:10", "notify[0]: input should be a valid dictionary"),
        (
            TOLD + ", before: 7d}\nschedule: {every: 7d}\n",
            "7:71",
            "`before` must be shorter than `every`",
        ),
        (
            GOOD + "notify: {uses: apprise, url: {env: A}, before: 8d}\nschedule: {every: 7d}\n",
            "6:48",
            "`before` must be shorter than `every`",
        ),
    ],
)
def test_an_entry_of_notify_that_is_wrong_has_its_place(
    tmp_path: Path, text: str, place: str, told: str
) -> None:
    found = only(tmp_path, text)
    assert found[0] == place and told in found[1] and found[2]


def test_each_wrong_entry_of_notify_has_its_own_place(tmp_path: Path) -> None:
    text = (
        TOLD + ", colour: red}\n  - {uses: webhook, url: {env: A}, secret: {env: B}, before: 8d}\n"
    )
    mistakes = load(tmp_path, one=text + "schedule: {every: 7d}\n").mistakes
    assert [(one.line, one.text) for one in mistakes if "before" in one.text] == [
        (8, "`before` must be shorter than `every`")
    ]


def test_the_schema_knows_who_is_told() -> None:
    check = jsonschema.Draft202012Validator(playbook_schema(Registry()))
    right = yaml.safe_load(TOLD + ", when: [done], before: 7d}\n")
    assert not list(check.iter_errors(right))
    right["notify"][0]["when"] = ["gone"]
    assert list(check.iter_errors(right))
