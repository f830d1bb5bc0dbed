"""Several keys in one .env file, written in the same moment."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rotator.clients import files, host_files
from rotator.clients.hosts import Host
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


# What another writer takes part in: another shell on that host, or rotator there
OTHERS: dict[str, Callable[[Path, bytes, str, str], object]] = {
    "by a shell": lambda path, content, expect, tag: host_files.replace(
        Host(), str(path), content, expect, tag
    ),
    "here": files.replace,
}


@pytest.mark.parametrize("other", OTHERS)
def test_two_that_write_one_file_of_a_host_do_not_write_over_each_other(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """The first one has compared, and is about to rename, while the second one begins."""
    compared, goes_on, tried = (tmp_path / name for name in ("compared", "goes-on", "tried"))
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, before in {
        "mv": f"case $* in *first*) : >'{compared}'; while [ ! -e '{goes_on}' ]; do :; done;; esac",
        "flock": f"[ ! -e '{compared}' ] || : >'{tried}'",
    }.items():
        real = shutil.which(name)
        assert real is not None
        (programs / name).write_text(f'#!/bin/sh\n{before}\nexec {real} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    locked = files._locked

    def looks(directory: int) -> bool:
        tried.touch()
        return locked(directory)

    monkeypatch.setattr(files, "_locked", looks)
    monkeypatch.setattr(files, "_ALONE", 60.0)
    monkeypatch.setattr(host_files, "_TRIES", 600)
    (tmp_path / "app").mkdir()
    file = tmp_path / "app" / "key"
    file.write_text("old")
    seen = host_files.read(Host(), str(file))
    here = files.read(file)
    assert seen is not None and here is not None
    wrong = list[Exception]()

    def second() -> None:
        expect = here.version if other == "here" else seen.version
        try:
            OTHERS[other](file, b"of the second", expect, "second")
        except (Conflict, TransientError) as error:
            wrong.append(error)

    def first() -> None:
        host_files.replace(Host(), str(file), b"of the first", seen.version, "first")

    writers = [threading.Thread(target=first), threading.Thread(target=second)]
    writers[0].start()
    _until(compared.exists)
    writers[1].start()
    _until(lambda: tried.exists() or not writers[1].is_alive())
    goes_on.touch()
    for one in writers:
        one.join(60)
    assert file.read_text() == "of the first"
    assert [type(one) for one in wrong] == [Conflict], "the second one is told"


def _until(seen: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_directory_of_a_host_that_is_locked_for_long_is_told_and_nothing_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_files, "_TRIES", 1)
    seen = host_files.read(Host(), str(path))
    assert seen is not None
    script = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(script, fcntl.LOCK_EX)
        with pytest.raises(TransientError, match="has locked the directory of .* on this machine"):
            host_files.replace(Host(), str(path), b"new", seen.version, "r")
    finally:
        os.close(script)
    assert "KEY_0=old\n" in path.read_text()
    assert host_files.replace(Host(), str(path), b"new", seen.version, "r").content == b"new"
    assert [one.name for one in path.parent.iterdir()] == [".env"]


def test_a_host_without_flock_is_written_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs = tmp_path_factory.mktemp("programs")
    for folder in os.environ["PATH"].split(os.pathsep):
        for one in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if one.name != "flock" and not (programs / one.name).exists():
                (programs / one.name).symlink_to(one)
    monkeypatch.setenv("PATH", str(programs))
    seen = host_files.read(Host(), str(path))
    assert seen is not None
    host_files.replace(Host(), str(path), b"new", seen.version, "r")
    assert path.read_text() == "new"
