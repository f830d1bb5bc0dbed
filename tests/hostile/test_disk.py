"""A full disk, a read-only file, a directory that is none, a file that vanishes: nothing is lost,
and it is told.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.cli.main import cli
from rotator.clients import procfs
from rotator.errors import ConfigError, JournalError, RotatorError
from rotator.integrations.memory import world as memory
from rotator.journal.database import Database
from rotator.journal.journal import open_journal
from rotator.journal.sealing import KeySource
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

WAIT = Request(wait=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes. Needs root."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    """Take all the room but `leave` bytes."""
    status = os.statvfs(place)
    file = place / "filler"
    with file.open("wb") as out:
        out.write(b"x" * max(0, status.f_bavail * status.f_frsize - leave))
    return file


def test_a_full_disk_at_any_write_of_the_journal_loses_nothing(small_disk: Path) -> None:
    """Ever more room, so that another write fails each time; with room again the next run puts
    everything right.
    """
    memory.WORLD.issuers.clear()
    bench = Bench(small_disk, f"sqlite:///{small_disk / 'journal.db'}")
    assert bench.service.rotate("one", WAIT).code == 0
    failed = 0
    try:
        for pages in range(0, 60, 2):
            filler = fill(small_disk, pages * 4096)
            try:
                report = bench.service.rotate("one", WAIT)
                if report.error is not None:
                    failed += 1
                    assert isinstance(report.error, JournalError), report.error
                    assert "full" in report.error.message and report.error.hint
            finally:
                filler.unlink()
            again = bench.service.rotate("one", WAIT)
            assert again.code == 0, (pages, again)
            assert bench.live == [bench.stored] == [bench.consumer.holds], pages
    finally:
        bench.service.close()
    assert failed > 3


def test_a_full_disk_under_a_dotenv_keeps_its_old_content(small_disk: Path) -> None:
    from rotator.errors import TransientError
    from rotator.integrations.files.dotenv import DotenvStore
    from rotator.model import Note, single

    path = small_disk / ".env"
    path.write_text("KEY=first-value\n" + "# " + "x" * 8000 + "\n")
    before = path.read_bytes()
    store = DotenvStore(path=str(path), key="KEY")
    held = store.read()
    assert held is not None
    fill(small_disk, 4096)
    with pytest.raises(TransientError, match="No space"):
        store.write(single("second-value"), held.version, Note("k", "i", "r", 0.0))
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in small_disk.iterdir()) == [".env", "filler"]


@pytest.mark.parametrize("home", ["/proc/rotator", "/dev/null/rotator"])
def test_a_state_directory_that_cannot_be_is_told(home: str, tmp_path: Path) -> None:
    """No permission, or no directory: not even root can write there."""
    with pytest.raises(RotatorError) as told:
        Database(f"sqlite:///{home}/journal.db").prepare()
    assert home.split("/")[1] in told.value.message and told.value.hint


def test_a_dotenv_that_vanishes_in_the_middle_is_a_conflict(tmp_path: Path) -> None:
    from rotator.errors import Conflict
    from rotator.integrations.files.dotenv import DotenvStore
    from rotator.model import Note, single

    path = tmp_path / ".env"
    path.write_text("KEY=first-value\n")
    store = DotenvStore(path=str(path), key="KEY")
    held = store.read()
    assert held is not None
    path.unlink()
    with pytest.raises(Conflict):
        store.write(single("second-value"), held.version, Note("k", "i", "r", 0.0))
    assert not path.exists() and store.read() is None


def test_a_journal_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's locks do not hold there: two rotators would both believe that they are alone."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"40 21 0:50 / {tmp_path}/share rw - nfs4 server:/x rw\n"
        f"41 21 0:51 / {tmp_path}/share\\040two rw - tmpfs tmpfs rw\n"
    )
    assert procfs.filesystem_of(tmp_path / "share" / "state", mounts) == "nfs4"
    assert procfs.filesystem_of(tmp_path / "share two" / "x", mounts) == "tmpfs"
    assert procfs.filesystem_of(tmp_path, mounts) == "ext4"
    assert procfs.filesystem_of(tmp_path, tmp_path / "none") == ""
    monkeypatch.setattr(procfs, "filesystem_of", lambda path: "nfs4")
    with pytest.raises(JournalError, match="network file system"):
        Database(f"sqlite:///{tmp_path}/journal.db").prepare()


def _mounts(at: Path, *lines: str) -> Path:
    at.write_text("".join(f"{line}\n" for line in lines))
    return at


_OVERLAY = "900 800 0:60 / / rw - overlay overlay rw,lowerdir=/a"
_LOST = {
    "in its own layer": (_OVERLAY,),
    "in memory": (_OVERLAY, "901 900 0:61 / {home} rw - tmpfs tmpfs rw"),
    "in an emptyDir": (
        _OVERLAY,
        "901 900 8:1 /var/lib/kubelet/pods/1-2/volumes/kubernetes.io~empty-dir/state {home} rw"
        " - ext4 /dev/sda1 rw",
    ),
}
_KEPT = {
    "a volume": (
        _OVERLAY,
        "901 900 8:1 /var/lib/docker/volumes/x/_data {home} rw - ext4 /dev/a rw",
    ),
    "no container": ("21 1 8:1 / / rw - ext4 /dev/sda1 rw",),
    "memory of a machine": (
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw",
        "41 21 0:51 / {home} rw - tmpfs tmpfs rw",
    ),
    "nothing is told": (),
}


def _in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]) -> Path:
    """The state directory of a rotator that sees these mounts."""
    home = tmp_path / "state"
    mounts = _mounts(tmp_path / "mountinfo", *(line.format(home=home) for line in lines))
    asked = procfs.mount_of
    monkeypatch.setattr(procfs, "mount_of", lambda path, _=mounts: asked(path, mounts))
    return home


@pytest.mark.parametrize("why", _LOST)
def test_a_journal_that_would_end_with_its_container_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Whatever would make it; unless a person says that it is meant."""
    home = _in(tmp_path, monkeypatch, _LOST[why])
    monkeypatch.setenv("ROTATOR_HOME", str(home))
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", str(tmp_path))
    monkeypatch.setenv("ROTATOR_EPHEMERAL", "false")
    for words in (["rotate", "--due"], ["status"], ["db", "upgrade"]):
        with pytest.raises(ConfigError, match=f"would be lost with this container.*{why}") as told:
            cli(words, standalone_mode=False)
        assert "ROTATOR_DATABASE_URL" in told.value.hint
    assert not home.exists()
    monkeypatch.setenv("ROTATOR_EPHEMERAL", "true")
    cli(["db", "upgrade"], standalone_mode=False)
    monkeypatch.setenv("ROTATOR_EPHEMERAL", "false")
    cli(["status"], standalone_mode=False)  # it is there now: its commands work


@pytest.mark.parametrize("where", _KEPT)
def test_a_journal_that_outlives_its_container_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home = _in(tmp_path, monkeypatch, _KEPT[where])
    key = KeySource(tmp_path / "key")
    made = open_journal(f"sqlite:///{home}/journal.db", key, ephemeral=False)
    assert made.database.path is not None and made.database.path.exists()
    made.database.close()
    open_journal("sqlite://", key, ephemeral=False).database.close()
