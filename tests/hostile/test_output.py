"""What cannot be printed stops no rotation: a full disk, a closed output, an encoding without our
signs.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.demo.world import _installed
from tests.acceptance.conftest import AcceptanceWorld

FULL = Path("/dev/full")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AcceptanceWorld]:
    with AcceptanceWorld(tmp_path, step="5s") as found:
        yield found


def _shell(
    world: AcceptanceWorld, redirected: str, *arguments: str, **environment: str
) -> tuple[int, str]:
    """The installed command, its output where the shell puts it; exit status, and what came on
    standard error.
    """
    command = " ".join([*_installed(arguments[0]), *arguments[1:]])
    done = subprocess.run(
        ["bash", "-c", f"{command} {redirected}"],
        env={**world.environment, **environment},
        cwd=world.folder,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr


def _rotated(world: AcceptanceWorld, before: str) -> None:
    world.promises_hold()
    assert world.stored_key != before


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_output_stops_nothing_and_is_said(world: AcceptanceWorld) -> None:
    before = world.stored_key
    code, said = _shell(world, ">/dev/full", "rotate", "demo", "--wait")
    _rotated(world, before)
    assert (
        code == 1 and "error: standard output cannot be written: No space left on device" in said
    ), said


@pytest.mark.parametrize("redirected", [">&-", "2>&-", "<&- >&- 2>&-", "| head -c 10"])
def test_an_output_that_is_closed_stops_nothing(world: AcceptanceWorld, redirected: str) -> None:
    before = world.stored_key
    _shell(world, redirected, "rotate", "demo", "--wait")
    _rotated(world, before)
    assert world.rotator("db", "check").returncode == 0, "no output went into the journal"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_our_signs_is_spelled_out(
    world: AcceptanceWorld, encoding: str
) -> None:
    before = world.stored_key
    seen = world.folder / "seen"
    code, said = _shell(world, f">{seen}", "rotate", "demo", "--wait", PYTHONIOENCODING=encoding)
    _rotated(world, before)
    assert code == 0 and "preflight  ok " in seen.read_text(encoding), said + seen.read_text(
        encoding
    )


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_audit_stream_stops_nothing_and_is_said_once(world: AcceptanceWorld) -> None:
    before = world.stored_key
    code, said = _shell(
        world, ">/dev/null", "rotate", "demo", "--wait", ROTATOR_AUDIT_STREAM="/dev/full"
    )
    _rotated(world, before)
    assert (
        code == 0
        and said.count("the audit stream cannot be written to /dev/full: No space left on device")
        == 1
    )
    assert "rotator audit export" in said and world.rotator("audit", "verify").returncode == 0


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_an_audit_stream_that_has_room_again_is_written_on(tmp_path: Path) -> None:
    """A line that was cut off ends before the next one begins."""
    from rotator.audit.stream import Stream

    path = tmp_path / "audit.jsonl"
    stream = Stream([str(path)])
    stream.emit([{"n": 1}])
    (target,) = stream._targets
    with io.FileIO("/dev/full", "w") as full:
        taken, target.file = target.file, full
        stream.emit([{"n": 2}])
        target.file = taken
    stream.emit([{"n": 3}])
    assert [json.loads(line)["n"] for line in path.read_text().splitlines() if line] == [1, 3]
