"""What stands in a file and what a new key looks like, from the first preflight to the bytes that
an undo puts back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotator.core.state import Outcome
from rotator.engine.preflight import examine
from rotator.errors import RefusedError, RotatorError
from rotator.model import Level
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases import adopt, supply
from rotator.usecases.service import Request, Service

OLD = "sk-old-0123456789abcdef"
NEW = "sk-new-0123456789abcdef"
REST = """
restart: [{uses: none, within: 0}]
evidence: none
revoke: {grace: 0s, quiet: 0s, soak: 0s, watch: 0s}
limits: {passes: 1, pass_interval: 1ms, step: 30s, list_lag: 0s}
"""


@dataclass
class World:
    """A service with one playbook; its key stands in `env`, and programs of its own make and
    destroy keys.
    """

    folder: Path

    @property
    def env(self) -> Path:
        return self.folder / "app.env"

    def holds(self, content: str | bytes) -> bytes:
        raw = content if isinstance(content, bytes) else content.encode()
        self.env.write_bytes(raw)
        self.env.chmod(0o600)
        return raw

    def supplied(self, pattern: str = "", more: str = "", create: bool = False) -> None:
        told = f", pattern: '{pattern}'" if pattern else ""
        self._playbook(
            f"{{uses: operator{told}}}", more, create, "{uses: command, run: [/bin/cat]}"
        )

    def made(self, new: str, more: str = "", refuses: str = "false") -> None:
        """Keys that a program makes; those that it destroyed stand in `destroyed`.

        `refuses`: when $key is, besides.
        """
        (self.folder / "new").write_text(new)
        make = "[/bin/sh, -c, 'cat \"$0\"', new]"
        destroy = "[/bin/sh, -c, 'cat >>destroyed; echo >>destroyed']"
        script = (
            f'read -r key; ! grep -qxF "$key" destroyed || exit 77; ! {{ {refuses}; }} || exit 77'
        )
        (self.folder / "probe").write_text(script)
        probe = "{uses: command, run: [/bin/sh, ./probe]}"
        self._playbook(
            f"{{uses: command, generate: {make}, revoke: {destroy}}}", more, False, probe
        )

    def _playbook(self, generate: str, more: str, create: bool, probe: str) -> None:
        store = (
            f"{{uses: dotenv, path: app.env, key: KEY{', create: true' if create else ''}{more}}}"
        )
        text = f"generate: {generate}\nstore: [{store}]\nverify: [{probe}]{REST}"
        (self.folder / "one.yaml").write_text(text)

    @property
    def service(self) -> Service:
        return Service(
            Settings(
                self.folder, playbooks=(self.folder,), database_url=f"sqlite:///{self.folder}/j.db"
            )
        )

    @property
    def destroyed(self) -> list[str]:
        path = self.folder / "destroyed"
        return path.read_text().split() if path.exists() else []

    def foreseen(self) -> str:
        """The errors of a dry run."""
        service = self.service
        found = examine(service.journal, service.playbooks().get("one"), service.clock.now())
        return "; ".join(
            f"{one.text} ({one.hint})" for one in found.findings if one.level is Level.ERROR
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    yield World(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"[default]\nKEY = {OLD}\n", "line 1 begins the section"),
        ("KEY=ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n", "encrypted by SOPS"),
        ("KEY=op://Dev/app/key\n", "1Password"),
        (f"export KEY={OLD} OTHER=1\n", "more than the assignment"),
        (f"KEY={OLD}\n".encode("utf-16"), "UTF-16"),
        ("KEY=your-key-here\n", "'your-key-here'.*create: true"),
    ],
)
@pytest.mark.parametrize("create", [False, True])
def test_what_is_not_sure_is_foreseen_and_refused_before_anybody_is_asked(
    world: World, content: str | bytes, words: str, create: bool
) -> None:
    import re

    before = world.holds(content)
    world.supplied("sk-[a-z0-9-]+", create=create)
    assert re.search(words, world.foreseen()) and "may hold" not in world.foreseen()
    report = world.service.rotate("one")
    assert report.code == 6 and report.rotation and report.rotation.outcome is Outcome.REFUSED
    assert re.search(words.split(".*")[0], report.rotation.problem) and report.rotation.hint
    with pytest.raises(RotatorError, match="does not wait for a key"):
        supply.supply(world.service, "one", Secret(NEW), "", Request())
    with pytest.raises(RefusedError, match=words.split(".*")[0]):
        adopt.adopt(world.service, "one")
    assert world.env.read_bytes() == before


def test_a_supplied_key_that_the_readers_would_not_get_is_not_taken(world: World) -> None:
    """The rotation waits for another one; no store was written."""
    before = world.holds(f"KEY={OLD}\n")
    world.supplied()
    assert world.service.rotate("one").code == 5
    for wrong in ("pa$$word-0123456789", "back`tick`-0123456789"):
        with pytest.raises(RotatorError, match="no spelling of the new KEY is right for all"):
            supply.supply(world.service, "one", Secret(wrong), "", Request())
        assert world.env.read_bytes() == before
    supply.supply(world.service, "one", Secret(NEW), "", Request())
    assert world.env.read_text() == f"KEY={NEW}\n"


def test_a_key_of_a_program_that_no_spelling_fits_is_destroyed_before_any_store_is_written(
    world: World,
) -> None:
    before = world.holds(f"KEY={OLD}\nB=2\n")
    inode = world.env.stat().st_ino
    world.made("pa$$word-0123456789")
    report = world.service.rotate("one", Request(wait=True))
    assert report.rotation and report.code == 3, (report.rotation, report.debts)
    assert "no spelling of the new KEY" in report.rotation.problem
    assert world.destroyed == ["pa$$word-0123456789"]
    assert (world.env.read_bytes(), world.env.stat().st_ino) == (before, inode)


def test_where_the_readers_are_known_it_is_written_for_them(world: World) -> None:
    world.holds(f"KEY={OLD}\n")
    world.made("pa$$word-0123456789", ", readers: [compose, bash]")
    assert world.service.rotate("one", Request(wait=True)).code == 0
    assert world.env.read_text() == "KEY='pa$$word-0123456789'\n" and world.destroyed == [OLD]


@pytest.mark.parametrize(
    "content", [f'KEY="{OLD}"  # mine\r\nB=1', f"export KEY = '{OLD}'\n", f"KEY={OLD}"]
)
def test_an_undo_puts_the_very_bytes_back(world: World, content: str) -> None:
    """The new key needs another quoting; the probe refuses it once it is stored."""
    before = world.holds(content)
    refuses = f'[ "$key" != {OLD} ] && grep -q pa app.env'
    world.made("pa$$'word-0123456789", ", readers: [compose]", refuses)
    book = world.folder / "one.yaml"  # a refusal counts once it has lasted for a step
    book.write_text(book.read_text().replace("step: 30s", "step: 5s"))
    report = world.service.rotate("one", Request(wait=True))
    assert report.rotation and report.rotation.outcome is Outcome.ROLLED_BACK
    assert report.rotation.writes[0].touched, "it was written, and put back"
    assert world.env.read_bytes() == before and world.destroyed == ["pa$$'word-0123456789"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("[A-Za-z0-9$]{8,}", r"a new key may hold any of \$"),
        ("[!-~]{8,}", "a new key may hold any of"),
    ],
)
def test_what_the_pattern_says_of_new_keys_is_looked_at_before_the_start(
    world: World, pattern: str, words: str
) -> None:
    import re

    world.holds("KEY=oldvalue1\n")
    world.supplied(pattern)
    assert re.search(words, world.foreseen()) and world.service.rotate("one").code == 6
    world.supplied("[A-Za-z0-9_.-]{8,}")
    assert not world.foreseen()
    world.supplied("sk-.*")  # whoever writes a dot does not know
    world.holds(f"KEY={OLD}\n")
    assert not world.foreseen() and world.service.rotate("one").code == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"KEY={OLD},sk-{'q' * 24}\n", "a comma in it"),
        (f'KEY="{OLD}, sk-{"q" * 24}"\n', "a blank"),
        (f'KEY="Bearer {OLD}"\n', "a blank"),
        (f"KEY=\u201c{OLD}\u201d\n", "LEFT DOUBLE QUOTATION MARK"),
        (f"KEY={OLD}\u200b\n", "ZERO WIDTH SPACE"),
    ],
)
def test_an_old_value_that_is_more_than_one_key_is_not_written_over(
    world: World, content: str, words: str
) -> None:
    """What stands beside the key would be in no store any more."""
    before = world.holds(content)
    world.supplied()
    report = world.service.rotate("one")
    assert report.code == 6 and report.rotation and words in report.rotation.problem, report
    assert report.rotation.hint and world.env.read_bytes() == before


@pytest.mark.parametrize(
    "content", ['{"api_key": "sk-0123456789"}', "sk-0123456789\nsk-abcdefghij\n"]
)
def test_a_file_of_more_than_one_key_is_not_written_over(world: World, content: str) -> None:
    before = world.holds(content)
    world.supplied()
    book = world.folder / "one.yaml"
    book.write_text(
        book.read_text().replace(
            "uses: dotenv, path: app.env, key: KEY", "uses: file, path: app.env"
        )
    )
    report = world.service.rotate("one")
    assert report.code == 6 and world.env.read_bytes() == before, report
