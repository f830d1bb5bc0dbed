"""Links that other users plant where rotator, as root, reads and writes: it must not be led to a
file of root's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator import trust
from rotator.clients import files, host_files
from rotator.clients.files import Snapshot
from rotator.clients.hosts import Host
from rotator.errors import AccessDenied, PermanentError, RotatorError

MALLORY = 12345
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make files of another user"
)

Read = Callable[[Path], Snapshot | None]
Replace = Callable[[Path, bytes, str, str], Snapshot]
HERE = Host()
WAYS: dict[str, tuple[Read, Replace]] = {
    "here": (files.read, files.replace),
    "by a shell": (
        lambda path: host_files.read(HERE, str(path)),
        lambda path, content, expect, tag: host_files.replace(
            HERE, str(path), content, expect, tag
        ),
    ),
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The directory of an application, its user's; beside it a file of root's."""
    (tmp_path / "app").mkdir()
    (tmp_path / "roots.conf").write_text("# root's\n")
    (tmp_path / "roots.conf").chmod(0o600)
    theirs(tmp_path / "app")
    return tmp_path / "app"


def test_the_audit_stream_is_led_to_no_other_file(app: Path) -> None:
    from rotator.audit.stream import Stream
    from rotator.errors import ConfigError

    with pytest.raises(ConfigError, match="a link of uid 12345"):
        Stream([str(_to_a_file(app))])
    assert (app.parent / "roots.conf").read_text() == "# root's\n"


def test_a_backup_is_led_to_no_other_file(app: Path, tmp_path: Path) -> None:
    """Not by a link either that leads nowhere yet."""
    from rotator.errors import JournalError
    from rotator.journal import upkeep
    from rotator.journal.journal import open_journal
    from rotator.journal.sealing import KeySource

    journal = open_journal(f"sqlite:///{tmp_path}/journal.db", KeySource(tmp_path / "key"))
    (app / "backup.db").symlink_to(app.parent / "not-there-yet")
    with pytest.raises(JournalError, match="exists already"):
        upkeep.backup(journal, theirs(app / "backup.db"))
    assert not (app.parent / "not-there-yet").exists()
    upkeep.backup(journal, app / "a-place-of-its-own.db")
    assert (app / "a-place-of-its-own.db").stat().st_mode & 0o777 == 0o600


def theirs(path: Path) -> Path:
    os.chown(path, MALLORY, MALLORY, follow_symlinks=False)
    return path


def _to_a_file(app: Path) -> Path:
    (app / ".env").symlink_to(app.parent / "roots.conf")
    return theirs(app / ".env")


def _to_a_directory(app: Path) -> Path:
    (app / "current").symlink_to("..")
    theirs(app / "current")
    return app / "current" / "roots.conf"


def _by_a_link_of_roots(app: Path) -> Path:
    """A link of root's into their directory, where theirs goes on."""
    _to_a_directory(app)
    (app.parent / "link").symlink_to("app/current/roots.conf")
    return app.parent / "link"


def _to_a_file_of_theirs_in_a_directory_of_roots(app: Path) -> Path:
    (app.parent / "etc").mkdir()
    theirs_there = app.parent / "etc" / "theirs.conf"
    theirs_there.write_text("x")
    theirs(theirs_there)
    (app / ".env").symlink_to(theirs_there)
    return theirs(app / ".env")


def _to_nothing_yet(app: Path) -> Path:
    """Where root's directory would get a new file, as /etc/cron.d."""
    (app / ".env").symlink_to(app.parent / "made-by-root")
    return theirs(app / ".env")


PLANTED = [
    _to_a_file,
    _to_a_directory,
    _by_a_link_of_roots,
    _to_a_file_of_theirs_in_a_directory_of_roots,
    _to_nothing_yet,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_a_link_of_another_users_is_not_followed(
    plant: Callable[[Path], Path], way: str, app: Path
) -> None:
    path, (read, replace) = plant(app), WAYS[way]
    before = {
        one: one.read_bytes()
        for one in app.parent.rglob("*")
        if one.is_file() and not one.is_symlink()
    }
    for act in (lambda: read(path), lambda: replace(path, b"KEY=new\n", "", "t")):
        with pytest.raises(AccessDenied, match=r"a link of uid 12345") as told:
            act()
        assert "could lead us to any file" in told.value.hint
    after = {
        one: one.read_bytes()
        for one in app.parent.rglob("*")
        if one.is_file() and not one.is_symlink()
    }
    assert after == before


@pytest.mark.parametrize("way", WAYS)
def test_links_of_roots_and_of_who_owns_what_they_lead_to_are_followed(way: str, app: Path) -> None:
    """A release is often reached through `current`, which the application's user turns to the next
    one.
    """
    read, replace = WAYS[way]
    (app / "7").mkdir()
    (app / "7" / ".env").write_text("KEY=old\n")
    theirs(app / "7")
    theirs(app / "7" / ".env")
    (app / "current").symlink_to("7")
    theirs(app / "current")
    (app.parent / "link").symlink_to(app / "current" / ".env")
    for path in (app / "current" / ".env", app.parent / "link"):
        found = read(path)
        assert found is not None
        replace(path, found.content + b"A=1\n", found.version, "t")
    assert (app / "7" / ".env").read_text() == "KEY=old\nA=1\nA=1\n"
    assert (app / "7" / ".env").stat().st_uid == MALLORY and (app.parent / "link").is_symlink()
    assert sorted(one.name for one in (app / "7").iterdir()) == [".env"]


def test_what_becomes_a_link_after_it_was_looked_at_is_not_followed(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the act, the application's user has all the time that it takes to win
    once.
    """
    (app / "7").mkdir()
    (app / "7" / "roots.conf").write_text("theirs\n")
    looked = trust.followed

    def turned(path: Path) -> tuple[Path, dict[int, Path]]:
        found = looked(path)
        (app / "7").rename(app / "away")
        (app / "7").symlink_to("..")
        return found

    monkeypatch.setattr(trust, "followed", turned)
    with pytest.raises(RotatorError):
        files.replace(app / "7" / "roots.conf", b"KEY=new\n", "", "t")
    assert (app.parent / "roots.conf").read_text() == "# root's\n"


def test_what_is_no_file_is_told_at_once(app: Path) -> None:
    os.mkfifo(app / ".env")
    with pytest.raises(PermanentError, match="is a pipe, not a file"):
        files.read(app / ".env")
