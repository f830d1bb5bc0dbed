"""Files that are not what they seem: what a replaced one must still be, here and by a shell, or why
it is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rotator.clients.hosts import Host
from rotator.engine.mounted import mounted
from rotator.errors import AccessDenied, PermanentError
from rotator.integrations.files.dotenv import DotenvStore
from rotator.model import Finding, Level, Note, single
from rotator.playbook.registry import Registry
from tests.integration.test_commands import Said, run

__all__ = ["run"]

NOTE = Note("key_1", "inst", "01ROTATION", 0.0)
NOBODY = 65534
ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(not ROOT, reason="only root can make files of another user")


class _Shell(DotenvStore):
    """By the very script that hosts get, without sudo or ssh in between."""

    @property
    def _host(self) -> Any:
        return Host()


STORES: dict[str, type[DotenvStore]] = {"here": DotenvStore, "by a shell": _Shell}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[DotenvStore]:
    """In a directory that other users reach: pytest's own are closed to them, anew with each run
    that begins.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "app.env"
        path.write_text("A=1\nKEY=old\n")
        path.chmod(0o600)
        yield STORES[request.param](path=str(path), key="KEY")


def path_of(store: DotenvStore) -> Path:
    return Path(store.path)


def write(store: DotenvStore, key: str = "new") -> None:
    held = store.read()
    store.write(single(key), held.version if held else "", NOTE)


def errors(store: DotenvStore) -> list[Finding]:
    return [finding for finding in store.preflight() if finding.level is Level.ERROR]


def acl(*entries: tuple[int, int, int]) -> bytes:
    """As the kernel keeps it (linux/posix_acl_xattr.h): tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ANY = 0xFFFFFFFF
OWNER, USER, GROUP, MASK, OTHER = 1, 2, 4, 16, 32
NOBODY_READS = acl(
    (OWNER, 6, ANY), (USER, 4, NOBODY), (GROUP, 0, ANY), (MASK, 4, ANY), (OTHER, 0, ANY)
)


def read_by(uid: int, path: Path) -> bool:
    """Whether that user can read it."""
    code = (
        "import os, sys; uid = int(sys.argv[1]); os.setgroups([]); os.setgid(uid); os.setuid(uid);"
        " open(sys.argv[2])"
    )
    return (
        subprocess.run(
            ["python3", "-c", code, str(uid), str(path)], stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def test_who_may_read_it_by_an_acl_still_may_and_after_an_undo_too(store: DotenvStore) -> None:
    path = path_of(store)
    os.setxattr(path, "system.posix_acl_access", NOBODY_READS)
    assert read_by(NOBODY, path)
    for key in ("new", "old"):
        write(store, key)
        assert read_by(NOBODY, path), f"once it holds {key}"
        assert os.getxattr(path, "system.posix_acl_access") == NOBODY_READS


def test_extended_attributes_stay(store: DotenvStore) -> None:
    path = path_of(store)
    kept = {"user.owner": b"team-a", "trusted.mark": b"\0\1", "user.empty": b""}
    for name, value in kept.items():
        os.setxattr(path, name, value)
    assert not errors(store)
    write(store)
    assert {name: os.getxattr(path, name) for name in kept} == kept


def test_a_directory_that_gives_new_files_an_acl_gives_this_one_none(store: DotenvStore) -> None:
    """A default ACL: without care, a file of mode 640 would be readable for whom the directory
    names.
    """
    path = path_of(store)
    path.chmod(0o640)
    os.setxattr(path.parent, "system.posix_acl_default", NOBODY_READS)
    write(store)
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and not read_by(NOBODY, path)


def test_a_directory_that_gives_new_files_its_group_does_not_open_this_one_to_it(
    store: DotenvStore,
) -> None:
    """setgid: the new file was the directory's group's, where the old one was of our own."""
    path = path_of(store)
    path.chmod(0o640)
    os.chown(path.parent, -1, NOBODY)
    path.parent.chmod(0o2755)
    write(store)
    assert path.stat().st_gid == os.getegid()


def test_owner_and_group_of_another_user_stay(store: DotenvStore) -> None:
    path = path_of(store)
    os.chown(path, NOBODY, NOBODY)
    os.chown(path.parent, NOBODY, NOBODY)
    write(store)
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


def test_a_file_of_two_names_is_refused_before_the_start_and_when_it_is_written(
    store: DotenvStore,
) -> None:
    path = path_of(store)
    os.link(path, path.with_name("second"))
    assert "has 2 names" in errors(store)[0].text and "find " in errors(store)[0].hint
    with pytest.raises(PermanentError, match="hard links"):
        write(store)
    assert path.read_text() == path.with_name("second").read_text() == "A=1\nKEY=old\n"
    assert sorted(one.name for one in path.parent.iterdir()) == ["app.env", "second"]


def test_a_file_that_is_mounted_by_itself_is_refused_before_the_start(store: DotenvStore) -> None:
    path = path_of(store)
    for name in (path.name, "with blanks and \\.env"):
        there = path.with_name(name)
        there.touch()
        there.with_name("source").write_text("KEY=old\n")
        subprocess.run(["mount", "--bind", there.with_name("source"), there], check=True)
        try:
            mounted = type(store)(path=str(there), key="KEY")
            assert "is mounted by itself" in errors(mounted)[0].text
            assert errors(mounted)[0].hint == "mount its directory instead"
        finally:
            subprocess.run(["umount", there], check=True)
        assert not errors(type(store)(path=str(there), key="KEY"))


def _flag(path: Path, bit: int) -> Callable[[], None]:
    """chattr(1): set one, and take all off again."""
    file = os.open(path, os.O_RDONLY)
    try:
        before = fcntl.ioctl(file, 0x80086601, bytes(8))
        held = int.from_bytes(before[:4], "little") | bit
        fcntl.ioctl(file, 0x40086602, held.to_bytes(8, "little"))
    except OSError:
        pytest.skip("this file system has no flags")
    finally:
        os.close(file)

    def undo() -> None:
        file = os.open(path, os.O_RDONLY)
        fcntl.ioctl(file, 0x40086602, before)
        os.close(file)

    return undo


@pytest.mark.parametrize(("bit", "words"), [(0x10, "immutable"), (0x20, "append-only")])
@pytest.mark.parametrize("of", ["the file", "its directory"])
def test_what_chattr_made_so_is_refused_before_the_start(
    store: DotenvStore, bit: int, words: str, of: str
) -> None:
    undo = _flag(path_of(store) if of == "the file" else path_of(store).parent, bit)
    try:
        assert words in errors(store)[0].text
    finally:
        undo()
    assert not errors(store)


def _as_user(uid: int, act: Callable[[], str]) -> str:
    """What it says in a process of that user."""
    out, into = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(into, act().encode() or b"nothing")
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as told:
        return told.read()


@pytest.mark.parametrize(
    ("mode", "words"), [(0o777, "cannot have .*owner"), (0o1777, "in a sticky directory")]
)
def test_an_owner_that_cannot_be_given_is_found_before_the_start(
    store: DotenvStore, mode: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who may write the directory and read the file, but is not its owner."""
    path = path_of(store)
    path.chmod(0o644)
    path.parent.chmod(mode)

    def told() -> str:
        return "; ".join(finding.text for finding in errors(store))

    if isinstance(store, _Shell):  # its watcher is ours: only the shell is theirs
        theirs = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        monkeypatch.setattr(Host, "command", lambda _, *argv: shlex.join([*theirs, *argv]))
        assert re.search(words, told())
    else:
        assert re.search(words, _as_user(NOBODY, told))


def test_an_acl_that_a_file_system_would_lose_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is over some network mounts: the call succeeds, or is not allowed, and the new file has
    none.
    """
    path = tmp_path / "app.env"
    path.write_text("KEY=old\n")
    os.setxattr(path, "system.posix_acl_access", NOBODY_READS)
    store = DotenvStore(path=str(path), key="KEY")

    def forbidden(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    for setxattr in (lambda *_: None, forbidden):
        monkeypatch.setattr(os, "setxattr", setxattr)
        assert "cannot have its ACL" in errors(store)[0].text
        with pytest.raises(AccessDenied, match="cannot have its ACL"):
            write(store)
        assert path.read_text() == "KEY=old\n" and [one.name for one in tmp_path.iterdir()] == [
            "app.env"
        ]


def test_a_file_system_without_nameless_files_is_tried_with_a_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.env").write_text("KEY=old\n")
    opened = os.open

    def without(path: Any, flags: int, *mode: int, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported")
        return opened(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", without)
    store = DotenvStore(path=str(tmp_path / "app.env"), key="KEY")
    assert not errors(store) and [one.name for one in tmp_path.iterdir()] == ["app.env"]


def test_a_volume_that_a_kubelet_fills_is_refused(store: DotenvStore) -> None:
    """A mounted Secret, seen from the node: KEY → ..data/KEY →
    ..2026_11_28_09_00_00.123456789/KEY.
    """
    path = path_of(store)
    (path.parent / "..2026_11_28_09_00_00.123456789").mkdir()
    path.rename(path.parent / "..2026_11_28_09_00_00.123456789" / "app.env")
    (path.parent / "..data").symlink_to("..2026_11_28_09_00_00.123456789")
    path.symlink_to("..data/app.env")
    assert (
        "a kubelet fills" in errors(store)[0].text and "store `kubernetes`" in errors(store)[0].hint
    )


@pytest.mark.parametrize("left", [".app.env.swp", ".#app.env", ".~lock.app.env#"])
def test_a_file_that_somebody_edits_is_told(store: DotenvStore, left: str) -> None:
    """Saved, it would put the old key back."""
    (path_of(store).parent / left).symlink_to("ops@host.4711")
    found = store.preflight()
    assert [finding.level for finding in found] == [Level.WARNING]
    assert left in found[0].text and "puts the old key back" in found[0].hint


@pytest.mark.parametrize(
    "line",
    [
        "# Ansible managed",
        "# This file is managed by Puppet",
        "# Generated by consul-template. DO NOT EDIT",
        "; managed by chef",
        "# do not edit: made by deploy.sh",
    ],
)
def test_a_file_that_a_program_makes_is_told(store: DotenvStore, line: str) -> None:
    path_of(store).write_text(f"{line}\nKEY=old\n")
    assert "is made by a program" in store.preflight()[0].text
    path_of(store).write_text(f"NOTE='{line[2:]}'\nKEY=old\n# please edit\n")
    assert not store.preflight()


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "socket"])
def test_what_is_no_file_is_refused_at_once(store: DotenvStore, kind: str) -> None:
    import socket
    import time

    path, begun = path_of(store), time.monotonic()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    elif kind == "directory":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    store.preflight()
    with pytest.raises(PermanentError, match=rf"(?i)is a {kind}|not a file"):
        store.read()
    assert time.monotonic() - begun < 5


def test_preflight_leaves_nothing_and_changes_nothing(store: DotenvStore) -> None:
    path = path_of(store)
    before = store.read()
    assert before and not store.preflight()
    after = store.read()
    assert after and after.version == before.version
    assert [one.name for one in path.parent.iterdir()] == ["app.env"]


class TestRotations:
    """The same by the command itself: what becomes of the file, and how many keys were
    made for it.
    """

    @pytest.fixture
    def rotator(self, run: Callable[..., Said], home: Path) -> Callable[..., Said]:
        run("rotate", "one", "--wait")
        assert (home / "key").read_text() == "cmd-secret-value-k0"
        return run

    def keys(self, home: Path) -> int:
        return len(json.loads((home / "keys.json").read_text()))

    def test_an_acl_outlives_a_rotation_and_an_undo(
        self, rotator: Callable[..., Said], home: Path
    ) -> None:
        path, book = home / "key", home / "playbooks" / "one.yaml"
        os.setxattr(path, "system.posix_acl_access", NOBODY_READS)
        assert rotator("rotate", "one", "--wait").code == 0
        assert os.getxattr(path, "system.posix_acl_access") == NOBODY_READS
        before = path.read_text()
        only_the_old = (
            f"restart: {{uses: command, run: [grep, -q, {before}, {path}]}}\nevidence: none\n"
        )
        book.write_text(book.read_text() + only_the_old)
        assert rotator("rotate", "one").code == 3
        assert path.read_text() == before
        assert os.getxattr(path, "system.posix_acl_access") == NOBODY_READS

    @pytest.mark.parametrize("how", ["mounted", "two names", "immutable", "pipe"])
    def test_no_key_is_made_for_a_file_that_cannot_be_replaced(
        self, rotator: Callable[..., Said], home: Path, how: str
    ) -> None:
        path = home / "key"
        undo: Callable[[], Any] = path.unlink
        if how == "mounted":
            (home / "source").write_text(path.read_text())
            subprocess.run(["mount", "--bind", home / "source", path], check=True)
            undo = lambda: subprocess.run(["umount", path], check=True)  # noqa: E731
        elif how == "two names":
            os.link(path, home / "second")
        elif how == "immutable":
            undo = _flag(path, 0x10)
        else:
            path.unlink()
            os.mkfifo(path)
        try:
            for command in (("plan", "one"), ("rotate", "one")):
                said = rotator(*command)
                assert said.code == 6 and self.keys(home) == 1, said
        finally:
            undo()


class TestConsumersWithAMountOfTheFileAlone:
    """`-v ./app.env:/run/app.env`: such a container sees the old file for ever, while its key is
    revoked.
    """

    @pytest.fixture(params=["app.env", "with a blank.env"])
    def consumer(
        self, request: pytest.FixtureRequest, store: DotenvStore
    ) -> Iterator[tuple[DotenvStore, Path, int]]:
        """A process in a mount namespace of its own."""
        path = path_of(store).rename(path_of(store).with_name(request.param))
        (path.parent / "run").mkdir()
        inside = path.parent / "run" / "key of it.env"
        inside.touch()
        script = 'mount --bind "$1" "$2" && exec sh -c "echo; read nothing"'
        argv = ["unshare", "-m", "sh", "-c", script, "-", str(path), str(inside)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline() == b"\n"
            yield replace(store, path=str(path)), inside, process.pid
            process.kill()

    def test_they_are_found_before_the_start_and_afterwards(
        self, consumer: tuple[DotenvStore, Path, int]
    ) -> None:
        store, inside, pid = consumer
        assert [(one.pid, one.program) for one in store.holders()] == [(pid, "sh")]
        assert "run/key" in store.holders()[0].place
        write(store)
        assert "old" in Path(f"/proc/{pid}/root{inside}").read_text(), (
            "the belief that all this stands on"
        )
        assert [one.pid for one in store.holders()] == [pid]

    @pytest.mark.parametrize(
        ("restart", "level"),
        [
            ([], Level.ERROR),
            ([("none", {})], Level.ERROR),
            ([("process", {"pid_file": "/run/x.pid"})], Level.ERROR),
            ([("systemd", {"units": ["x.service"], "action": "reload"})], Level.ERROR),
            ([("none", {}), ("docker", {"containers": ["x"]})], Level.WARNING),
            ([("command", {"run": ["x"]})], Level.WARNING),
            ([("systemd", {"units": ["x.service"]})], Level.WARNING),
        ],
    )
    def test_a_playbook_that_starts_nobody_anew_is_refused(
        self,
        consumer: tuple[DotenvStore, Path, int],
        restart: list[tuple[str, dict[str, Any]]],
        level: Level,
    ) -> None:
        restarters = [Registry().find("restarter", uses)(**settings) for uses, settings in restart]  # type: ignore[misc]
        playbook = SimpleNamespace(
            stores=[SimpleNamespace(store=consumer[0])],
            consumers=[SimpleNamespace(restarter=restarter) for restarter in restarters],
        )
        (found,) = mounted(playbook)  # type: ignore[arg-type]
        assert found.level is level and f"sh (process {consumer[2]})" in found.text


def test_nobody_has_an_ordinary_file_mounted(store: DotenvStore) -> None:
    assert store.holders() == []


@pytest.fixture
def sandbox(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `rotator plan one` as a unit's sandbox would: the store's directory is read-only, no new
    privileges.
    """
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "app.env").write_text("KEY=some-old-value-of-a-key\n")
    (folder / "app.env").chmod(0o600)

    def plan(more: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "playbooks").mkdir(exist_ok=True)
        (tmp_path / "playbooks" / "one.yaml").write_text(
            "generate: {uses: operator}\nverify: [{uses: command, run: [/bin/cat]}]\n"
            f"store: {{uses: dotenv, path: {folder}/app.env, key: KEY{more}}}\n"
        )
        environment = {
            **os.environ,
            "ROTATOR_HOME": str(tmp_path / "state"),
            "ROTATOR_PLAYBOOKS": str(tmp_path / "playbooks"),
        }
        script = (
            'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec setpriv --no-new-privs'
            ' "$@"'
        )
        rotator = [sys.executable, "-m", "rotator", "plan", "one"]
        argv = ["unshare", "-m", "sh", "-c", script, str(folder), *rotator]
        return subprocess.run(argv, env=environment, capture_output=True, text=True)

    return plan


def test_a_read_only_file_system_is_told_as_such_with_what_a_unit_must_say(
    sandbox: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = sandbox()
    assert done.returncode == 6 and "its file system is read-only for rotator" in done.stdout, done
    assert f"ReadWritePaths={tmp_path}/etc" in done.stdout and "sudo" not in done.stdout


@pytest.mark.skipif(not shutil.which("sudo"), reason="sudo is not on this machine")
def test_sudo_where_new_privileges_are_forbidden_is_told_as_such() -> None:
    """By a user who would need them, as a unit with NoNewPrivileges= runs."""
    nobody = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    done = subprocess.run(
        ["setpriv", *nobody, "sudo", "-n", "true"], capture_output=True, text=True
    )
    with pytest.raises(AccessDenied) as refused:
        Host(sudo=True).run(f"cat >&2 <<'END'\n{done.stderr}END\nexit {done.returncode}")
    assert (
        "new privileges are forbidden" in refused.value.message
        and "NoNewPrivileges=no" in refused.value.hint
    )


def test_a_store_on_a_read_only_mount_is_told_here_and_by_a_shell(store: DotenvStore) -> None:
    folder = str(path_of(store).parent)
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        (found,) = errors(store)
        assert (
            "its file system is read-only" in found.text
            and f"ReadWritePaths={folder}" in found.hint
        )
    finally:
        subprocess.run(["umount", folder], check=True)
    assert not errors(store)
