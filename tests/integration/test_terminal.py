"""What a person sees at a terminal: the installed commands, on a pseudo-terminal of a width."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_commands import Said, run  # noqa: F401  (a fixture)
from tests.integration.test_json import LOOKING, READY

Run = Callable[..., Said]


def seen(width: int, *argv: str, interrupt: str = "") -> list[str]:
    """The lines on a terminal of this width when the command has ended; `interrupt`: Ctrl-C once
    that stands there.
    """
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    code = f"from rotator.cli.entry import {argv[0]}; {argv[0]}()"
    child = subprocess.Popen(
        [
            "env",
            "--default-signal=INT",
            sys.executable,
            "-c",
            code,
            *argv[1:],
        ],  # who runs in the background ignores it
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm", "PYTHONUNBUFFERED": "1"},
    )
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
        if interrupt and interrupt in written.decode(errors="replace"):
            child.send_signal(signal.SIGINT)
            interrupt = ""
    os.close(master)
    child.wait()
    lines = []
    for line in written.decode().replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = (
                part.removeprefix("\x1b[K")
                if part.startswith("\x1b[K")
                else part + shown[len(part) :]
            )
        lines.append(shown)
    return lines


def too_long(lines: list[str], width: int) -> list[str]:
    """Lines that are longer than they must be: a path that fits in no line is its own excuse."""
    return [
        line for line in lines if len(line) > width and max(map(len, line.split())) < width - 30
    ]


_LINES = ("audit tail", "audit export")  # each record is a line of JSON


@pytest.mark.parametrize(
    ("width", "verbs"),
    [
        (60, ["status", "plan"]),
        (80, [verb for verb in LOOKING if verb not in _LINES]),
        (120, ["status", "doctor"]),
    ],
)
def test_each_verb_fits_the_terminal(run: Run, home: Path, width: int, verbs: list[str]) -> None:  # noqa: F811
    playbook = home / "playbooks" / "one.yaml"
    playbook.write_text(playbook.read_text().replace("grace: 0s", "grace: 1h"))
    (home / "playbooks" / "bad.yaml").write_text(
        "generate: {uses: opnai}\nstore: {uses: file, path: /x}\n"
    )
    assert run("rotate", "one").code == run("rotate", "one").code == 0
    run(
        "pause",
        "one",
        "--until",
        "3d",
        "--reason",
        "nothing is changed while the shop has its busiest days of the year",
    )
    for verb in verbs:
        lines = seen(width, "rotator", *verb.split(), *READY.get(verb, []))
        assert not too_long(lines, width), verb
        assert "\x1b" not in "".join(lines), verb


@pytest.mark.parametrize("width", [60, 80])
def test_a_rotation_fits_and_its_live_line_is_gone(run: Run, home: Path, width: int) -> None:  # noqa: F811
    playbook = home / "playbooks" / "one.yaml"
    playbook.write_text(
        playbook.read_text() + "restart: [{uses: command, run: [sleep, '0.5']}]\nevidence: none\n"
    )
    lines = seen(width, "rotate", "one", "--wait")
    assert not too_long(lines, width) and any(line.startswith("verified in") for line in lines), (
        lines
    )
    assert "\x1b" not in "".join(lines) and not re.search("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "".join(lines)), lines
    times = [len(line) for line in lines if re.search(r"\d\.\d s$", line)]
    assert len(times) >= 4 and len(set(times)) == 1, "the times stand below each other"


def test_what_is_interrupted_leaves_no_live_line_either(run: Run, home: Path) -> None:  # noqa: F811
    playbook = home / "playbooks" / "one.yaml"
    playbook.write_text(
        playbook.read_text() + "restart: [{uses: command, run: [sleep, '20']}]\nevidence: none\n"
    )
    lines = seen(80, "rotate", "one", interrupt="restart…")
    assert any(line.startswith("error: interrupted") for line in lines), lines
    assert "\x1b" not in "".join(lines) and "restart…" not in "".join(lines), lines
