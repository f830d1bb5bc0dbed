"""A full disk, a read-only file, a directory that is none, a file that vanishes: nothing is lost,
and it is told.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.clients import procfs
from rotator.errors import JournalError, RotatorError
from rotator.integrations.memory import world as memory
from rotator.journal.database import Database
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
