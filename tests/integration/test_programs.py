"""The one door to programs: each call ends, whatever the program does, and nothing of it is left
that should not be.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rotator import deadline
from rotator.clients import procfs, programs, watcher
from rotator.errors import (
    AccessDenied,
    JournalError,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from rotator.integrations.files.dotenv import ignored_by_git
from rotator.journal.sealing import KeySource
from rotator.reference import Reference
from rotator.secret import Secret


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def _until(met: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def _pid(mark: Path) -> int:
    _until(lambda: mark.exists() and mark.read_text().strip())
    return int(mark.read_text())


def test_a_program_that_fetches_a_secret_has_what_its_reference_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "hvs.of-ours")
    argv = ["sh", "-c", "echo ${VAULT_TOKEN?it is not set}"]
    named = Reference.parse({"command": argv, "inherit": ["VAULT_TOKEN"]})
    assert named.resolve().reveal() == "hvs.of-ours" and Reference.parse(named.as_yaml()) == named
    with pytest.raises(PermanentError) as told:
        Reference.parse({"command": argv}).resolve()
    assert "VAULT_TOKEN" in told.value.hint and "inherit: [NAME]" in told.value.hint
    with pytest.raises(NotFound, match="NOT_THERE is not set"):
        Reference.parse({"command": argv, "inherit": ["NOT_THERE"]}).resolve()
    with pytest.raises(ValueError, match="needs a list of variables' names"):
        Reference.parse({"command": argv, "inherit": "VAULT_TOKEN"})


def test_the_key_command_has_what_sdks_read_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fetches the sealing key from such a place; no playbook could name what it needs."""
    monkeypatch.setenv("VAULT_TOKEN", "hvs.of-ours")
    monkeypatch.setenv("ROTATOR_DATABASE_URL", "postgresql://secret@db/x")
    script = (
        '[ "$VAULT_TOKEN" = hvs.of-ours ] && [ -z "$ROTATOR_DATABASE_URL" ] && head -c 32 /dev/zero'
        " | base64"
    )
    assert KeySource(tmp_path / "none", command=script).load() is not None


def test_a_program_has_ended_though_a_server_that_it_started_has_not(tmp_path: Path) -> None:
    with _within(5):
        ended = programs.run(
            ["sh", "-c", f"sleep 60 & echo $! >{tmp_path}/pid; echo started"], timeout=30
        )
    server = _pid(tmp_path / "pid")
    assert (ended.code, ended.out) == (0, "started\n")
    assert procfs.process(server) is not None  # that is what it was started for
    os.kill(server, signal.SIGKILL)


def test_such_a_server_does_not_die_of_what_it_says_later(tmp_path: Path) -> None:
    """It writes to a pipe whose reader has gone on: SIGPIPE would be an outage, hours after the
    rotation.
    """
    before = _drains()
    (tmp_path / "server").write_text(f"""echo $$ >{tmp_path}/pid
while [ ! -e {tmp_path}/say ]; do sleep 0.05; done
seq 100000; seq 9 >&2; touch {tmp_path}/said
exec sleep 60
""")
    programs.run(["sh", "-c", f"sh {tmp_path}/server &"], timeout=30)
    pid = _pid(tmp_path / "pid")
    (tmp_path / "say").touch()
    _until((tmp_path / "said").exists)
    assert procfs.process(pid) is not None and _drains() - before
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    _until(lambda: not _drains() - before)  # who read for it has ended with it


def _drains() -> set[str]:
    """Processes of ours that read what a program left running."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes()
        except OSError:
            continue
        if b"writing.register" in words and b"posix_spawnp" not in words:
            found.add(each.parent.name)
    return found


@pytest.mark.parametrize(
    "script", ["sleep 60 & wait", "trap '' TERM INT HUP; sleep 60", "cat; sleep 60", "yes"]
)
def test_a_time_out_ends_the_program_and_its_children(script: str, tmp_path: Path) -> None:
    with _within(5), pytest.raises(OutcomeUnknown, match="did not end in 1 s"):
        programs.run(
            ["sh", "-c", f"echo $$ >{tmp_path}/pid; {script}"],
            timeout=1,
            stdin=Secret("x" * 300_000),
        )
    group = _pid(tmp_path / "pid")
    _until(lambda: not _in_group(group))


def _in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_group_of(int(each.name)) == group for each in Path("/proc").glob("[0-9]*"))


def _group_of(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[2]) if fields[0] != "Z" else None


def test_the_end_of_the_lease_ends_a_program_even_while_rotator_is_frozen(tmp_path: Path) -> None:
    code = f"""
from rotator import deadline
from rotator.clients import programs
with deadline.until(deadline.within(1.0)):
    programs.run(['sh', '-c', 'echo $$ >{tmp_path}/pid; sleep 60'])
"""
    frozen = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    program = _pid(tmp_path / "pid")
    frozen.send_signal(signal.SIGSTOP)
    _until(lambda: procfs.process(program) is None)
    frozen.send_signal(signal.SIGCONT)
    assert "did not end in 1 s" in frozen.communicate(timeout=20)[1]


def test_nothing_is_started_after_the_lease() -> None:
    with deadline.until(lambda: 0.0), pytest.raises(Exception, match="lease"):
        programs.run(["true"])


def test_a_time_out_is_told_though_what_watches_the_program_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_GRACE", 0.5)
    with _within(10), pytest.raises(OutcomeUnknown, match="nobody knows how sh ended"):
        programs.run(
            ["sh", "-c", f"kill -STOP $PPID; echo $$ >{tmp_path}/pid; sleep 60"], timeout=0.5
        )
    os.killpg(_pid(tmp_path / "pid"), signal.SIGKILL)


def test_half_a_gigabyte_of_output_is_not_kept() -> None:
    code = """
import resource
from rotator.clients import programs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ended = programs.run(['sh', '-c', 'yes | head -c 500000000; yes no | head -c 99999999 >&2; echo the end >&2'])
print(ended.code, ended.words, ended.cut, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000)
try: ended.out
except Exception as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 the end True True\nsh prints more than 10 MB\n", done.stderr


def test_output_that_is_not_utf_8_is_read_all_the_same() -> None:
    ended = programs.run(["sh", "-c", r"printf 'a\377b\r\n'; printf 'caf\351\n' >&2; exit 3"])
    assert (ended.code, ended.out, ended.words) == (3, "a\ufffdb\n", "caf\ufffd")


def test_a_credential_that_is_not_utf_8_is_refused_by_a_sentence() -> None:
    with pytest.raises(PermanentError, match="not UTF-8"):
        Reference("command", ("printf", r"\377abc")).resolve()


def test_what_cannot_be_started_is_told_by_its_reason(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("echo no")
    with pytest.raises(NotFound, match="the program nothing-of-this-name does not exist"):
        programs.run(["nothing-of-this-name"])
    with pytest.raises(AccessDenied, match="data cannot be executed: Permission denied"):
        programs.run([f"{tmp_path}/data"])
    (tmp_path / "data").chmod(0o755)
    with pytest.raises(AccessDenied, match="Exec format error"):
        programs.run([f"{tmp_path}/data"])
    # what a program says itself is no such thing
    ended = programs.run(["sh", "-c", "echo 'FileNotFoundError: sh' >&2; exit 1"])
    assert ended.code == 1


def test_a_signal_is_an_end_that_is_known() -> None:
    assert programs.run(["sh", "-c", "kill -9 $$"]).code == -9


def test_a_program_dies_of_a_pipe_as_it_does_in_a_shell() -> None:
    assert programs.run(["sh", "-c", "yes | head -1; trap"]).out == "y\n"


def test_references_to_commands_go_through_this_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _within(5):
        found = Reference("command", ("sh", "-c", "sleep 60 & echo the-secret")).resolve()
    assert found.reveal() == "the-secret"
    with (
        _within(5),
        deadline.until(deadline.within(0.5)),
        pytest.raises(TransientError, match="did not end"),
    ):
        Reference("command", ("sleep", "60")).resolve()


def test_a_key_command_ends_with_its_shell(tmp_path: Path) -> None:
    key = "A" * 43 + "="
    with _within(5):
        found = KeySource(tmp_path / "key", environment="", command=f"sleep 60 & echo {key}").load()
    assert found is not None and found.reveal() == key


def test_a_key_command_that_does_not_end_is_told(tmp_path: Path) -> None:
    with (
        _within(5),
        deadline.until(deadline.within(0.5)),
        pytest.raises(JournalError, match="did not end"),
    ):
        KeySource(tmp_path / "key", environment="", command="sleep 60").load()


def test_git_is_asked_by_this_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "git").write_text("#!/bin/sh\nsleep 60 &\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with _within(4):
        assert not ignored_by_git(tmp_path / ".env")
