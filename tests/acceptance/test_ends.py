"""Every command ends, by real clocks, whatever its neighbours do: an issuer that fails, drips or is
silent, a program that leaves a server behind, a pipe where a file should be.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.demo.world import _installed
from tests.acceptance.nasty import Nasty, down, drips, first_end, silent
from tests.servers.tools import wait_for

_A_CALL_ENDS = 30.0  # seconds after which a request without an answer is given up


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Nasty]:
    found = Nasty(tmp_path)
    yield found
    found.close()


def test_a_command_ends_while_the_old_key_cannot_be_revoked(world: Nasty) -> None:
    """Attention stands after a step's time; until then a command stays for a minute at most.

    The key dies later.
    """
    world.book(step="8s")
    world.faults["DELETE"] = down
    told = world.ends("rotate", "app", within=90)
    assert told.returncode == 4 and "503: down" in told.stderr, told
    assert "try 2 at" in told.stdout and world.stored != world.first
    assert len(world.live) == 2
    assert world.ends("rotate", "--due", within=30).returncode == 4
    assert world.ends("rotator", "revoke", "app", within=30).returncode == 4
    world.faults.clear()
    assert world.ends("rotator", "revoke", "app", within=60).returncode == 0
    assert len(world.live) == 1


def test_a_command_does_not_sit_a_grace_out_because_another_key_is_watched(world: Nasty) -> None:
    world.book(step="20s", grace="1h", watch="30m")
    assert world.ends("rotate", "app", within=40).returncode == 0
    assert world.ends("rotate", "app", "--compromised", within=40).returncode == 0
    assert world.ends("rotate", "app", within=40).returncode == 0
    assert world.ends("rotate", "--due", within=20).returncode == 0
    assert world.ends("rotator", "undo", "app", within=40).returncode in (0, 3)


@pytest.mark.parametrize(("method", "code"), [("GET", 6), ("POST", 3)])
def test_an_answer_that_drips_ends_with_its_call(method: str, code: int, world: Nasty) -> None:
    world.book(step="3s")
    world.faults[method] = drips
    told = world.ends("rotate", "app", within=100)
    assert told.returncode == code and "whole in" in told.stdout + told.stderr, told
    assert world.stored == world.first and len(world.live) == 1


def test_a_program_that_leaves_a_server_behind_is_not_waited_for(world: Nasty) -> None:
    world.book(step="15s", timeout=5)
    world.restart(f"sleep 300 &\necho $! >{world.folder}/server\necho started")
    assert world.ends("rotate", "app", within=40).returncode == 0
    os.kill(
        int((world.folder / "server").read_text()), signal.SIGKILL
    )  # it lives: that is what it was started for
    assert len(world.live) == 1 and world.stored != world.first


def test_a_pipe_in_place_of_the_file_is_refused(world: Nasty) -> None:
    world.book(step="3s")
    world.env.unlink()
    os.mkfifo(world.env)
    told = world.ends("rotate", "app", within=20)
    assert told.returncode == 6 and "is a pipe, not a file" in told.stderr, told


def test_what_is_waited_for_is_told_and_an_interruption_says_how_to_go_on(world: Nasty) -> None:
    """Ten minutes of silence while a provider is down look like a hang."""
    world.book(step="60s")
    world.faults["GET"] = down
    running = subprocess.Popen(
        [
            "env",
            "--default-signal=INT",
            *_installed("rotate"),
            "app",
        ],  # who runs in the background ignores it
        env=world.environment,
        cwd=world.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    said = ""
    while "try" not in said:
        line = running.stdout.readline()
        assert line, said
        said += line
    assert "OpenAI answered 503: down; try 2 at " in said and ", until " in said
    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=20)[0]
    assert running.returncode == 130 and "interrupted" in rest and "rotate --due" in rest, rest
    world.faults.clear()
    assert world.ends("rotate", "app", within=60).returncode == 0
    assert len(world.live) == 1


@pytest.mark.parametrize("hanging", [20, 100])
def test_a_provider_that_is_silent_does_not_starve_the_others(hanging: int, world: Nasty) -> None:
    """The first good playbook has its new key while every silent one still hangs in its first
    call. How much later than alone: `make bench`.
    """
    with silent() as url:
        assert first_end(world, "beside", hanging, url) < _A_CALL_ENDS


@pytest.mark.parametrize("argv", [("rotate", "app", "--wait"), ("rotate", "--due")])
def test_a_command_that_is_told_to_stop_ends_after_its_call(
    argv: tuple[str, ...], world: Nasty
) -> None:
    """What it did is known: the program ran once, and the next call goes on behind it."""
    runs = world.folder / "runs"
    world.restart(f"echo began >> {runs}; sleep 2; echo ended >> {runs}")
    world.book(step="60s")
    book = json.loads((world.folder / "playbooks" / "app.yaml").read_text())
    book["schedule"] = {"every": "30d"}
    (world.folder / "playbooks" / "app.yaml").write_text(json.dumps(book))
    running = subprocess.Popen(
        [*_installed(argv[0]), *argv[1:]],
        env=world.environment,
        cwd=world.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for("its program", runs.exists, 30)
    running.send_signal(signal.SIGTERM)
    told = running.communicate(timeout=20)[1]
    assert running.returncode == 128 + signal.SIGTERM and "told to stop" in told, told
    assert runs.read_text().split() == ["began", "ended"]
    assert len(world.live) == 2, "nothing was revoked after it"
    assert world.ends("rotate", "--due", within=60).returncode == 0
    assert runs.read_text().split() == ["began", "ended"], "it is not restarted twice"
    assert world.live and len(world.live) == 1 and world.stored != world.first


def test_a_command_whose_program_does_not_end_is_over_in_time(world: Nasty) -> None:
    """Its program is ended; a second signal would not wait for that."""
    pid = world.folder / "program.pid"
    world.restart(f"echo $$ > {pid}; sleep 300")
    world.book(step="600s", timeout=600)
    for signals in (1, 2):
        pid.unlink(missing_ok=True)
        running = subprocess.Popen(
            [*_installed("rotate"), "app"],
            env=world.environment,
            cwd=world.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("its program", pid.exists, 60)
        begun = time.monotonic()
        for _ in range(signals):
            running.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        assert running.wait(30) == 128 + signal.SIGTERM
        assert time.monotonic() - begun < (25 if signals == 1 else 3)
    world.restart("true")
    assert world.ends("rotate", "app", within=60).returncode == 0
    assert len(world.live) == 1
