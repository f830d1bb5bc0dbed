"""Several keys in one .env file, written in the same moment."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from rotator.clients import files
from rotator.errors import Conflict, TransientError
from rotator.integrations.files.dotenv import DotenvStore
from rotator.model import Note, single

NAMES = [f"KEY_{number}" for number in range(10)]


def _store(path: Path, name: str) -> DotenvStore:
    return DotenvStore(path=str(path), key=name)


def _note(name: str) -> Note:
    return Note("id", "here", name, 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / ".env"
    found.write_text("".join(f"{name}=old\n" for name in NAMES))
    return found


def test_ten_writers_of_one_file_lose_nothing_and_find_no_conflict(path: Path) -> None:
    """Each reads before any writes, as preflight does, and removes what interrupted writes left."""
    stores = {name: _store(path, name) for name in NAMES}
    versions = {name: store.read().version for name, store in stores.items() if store.read()}  # type: ignore[union-attr]
    together, wrong = threading.Barrier(len(NAMES)), list[BaseException]()

    def write(name: str) -> None:
        together.wait(60)
        try:
            stores[name].tidy(versions[name])
            stores[name].write(single(f"new-{name}"), versions[name], _note(name))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert path.read_text() == "".join(f"{name}=new-{name}\n" for name in NAMES)
    assert [one.name for one in path.parent.iterdir()] == [".env"]


def test_a_script_that_has_locked_the_directory_is_told_as_such(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `flock DIRECTORY program` does it: it is no process of rotator."""
    monkeypatch.setattr(files, "_ALONE", 0.0)
    store = _store(path, "KEY_0")
    held = store.read()
    assert held is not None
    script = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(script, fcntl.LOCK_EX)
        with pytest.raises(TransientError) as found:
            store.write(single("new"), held.version, _note("r"))
    finally:
        os.close(script)
    assert found.value.message == f"another process has locked the directory of {path}"
    assert "KEY_0=old\n" in path.read_text()
    store.write(single("new"), held.version, _note("r"))


def test_what_changed_our_own_variable_is_a_conflict(path: Path) -> None:
    store = _store(path, "KEY_0")
    held = store.read()
    assert held is not None
    path.write_text(path.read_text().replace("KEY_0=old", "KEY_0=another"))
    with pytest.raises(Conflict):
        store.write(single("new"), held.version, _note("r"))
    assert "KEY_0=another\n" in path.read_text()


def test_who_comes_late_with_a_version_that_was_written_over_is_refused(path: Path) -> None:
    """Although the value is the same again: it was written to outdate just this."""
    store = _store(path, "KEY_0")
    held = store.read()
    assert held is not None
    store.write(single("old"), held.version, _note("back"))
    with pytest.raises(Conflict):
        store.write(single("new"), held.version, _note("late"))
    assert "KEY_0=old\n" in path.read_text()
