"""Files that are none, and files that say too much: refused in a second and within 100 MB."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rotator.clients import files, procfs
from rotator.errors import ConfigError, NotFound, PermanentError
from rotator.integrations.files import dotenv_syntax
from rotator.playbook.directory import Directory
from rotator.reference import Reference
from rotator.settings import load

GOOD = "generate: {uses: memory, issuer: x}\nstore: [{uses: memory, cell: x}]\n"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def endpoint(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 10**12)


@pytest.mark.parametrize("make", [pipe, device, endpoint, huge])
def test_what_is_no_file_of_that_kind_is_refused_at_once(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path, begun = tmp_path / "x", time.monotonic()
    make(path)
    with pytest.raises(PermanentError, match=r"x is (a|larger)"):
        files.read(path)
    with pytest.raises(PermanentError, match=r"x is (a|larger)"):
        Reference("file", str(path)).resolve()
    with pytest.raises(NotFound):
        procfs.from_pid_file(path)
    (tmp_path / "books").mkdir()
    path.rename(tmp_path / "books" / "one.yaml")
    assert len(Directory((tmp_path / "books",)).load().mistakes) == 1
    with pytest.raises(ConfigError):
        load(
            {"ROTATOR_CONFIG": str(tmp_path / "books" / "one.yaml"), "ROTATOR_HOME": str(tmp_path)}
        )
    assert time.monotonic() - begun < 1


# a megabyte of YAML each
BILLIONS = {
    "entries by parts": (
        GOOD
        + "description: {a: ["
        + "x," * 40_000
        + "]}\nfor_each: ["
        + "{name: a}," * 30_000
        + "]"
    ),
    "places by letters": (
        GOOD + f"description: '{'{a}' * 100_000}'\nfor_each: [{{name: x, a: {'y' * 500_000}}}]"
    ),
    "entries by reference": (
        GOOD + f"x: &x {{name: {'y' * 900_000}}}\nfor_each: [" + "*x," * 30_000 + "]"
    ),
    "scalars": "a: [" + "x," * 490_000 + "]",
    "mappings": "[" + "{}," * 330_000 + "]",
    "nested": "[" * 990_000,
    "nested in blocks": "- " * 490_000,
    "nested, and short": "[" * 19_000,
}


@pytest.mark.parametrize("case", BILLIONS)
def test_a_playbook_of_billions_is_refused_in_a_second_and_a_hundred_megabytes(
    case: str, tmp_path: Path
) -> None:
    (tmp_path / "one.yaml").write_text(BILLIONS[case])
    code = """
import resource, sys, time
from pathlib import Path
from rotator.playbook.directory import Directory
Directory((Path(sys.argv[1]) / "none",)).load()
before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
loaded = Directory((Path(sys.argv[1]),)).load()
print(time.process_time() - begun, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
print(len(loaded.playbooks), [mistake.text for mistake in loaded.mistakes])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30
    )
    took, megabytes = map(float, done.stdout.split()[:2])
    assert took < 1 and megabytes < 100, done.stdout[:300]
    assert done.stdout.splitlines()[1].startswith("0 ["), done.stdout[:300]


LINES = {
    "blanks in the middle": b"A=x" + b" " * 1_000_000 + b"y\n",
    "comments": b"A=x" + b" #" * 500_000,
    "signs of comments": b"A=" + b"# " * 500_000,
    "quotes": b"A='" * 333_000,
    "double quotes": b'A="' * 333_000,
    "a quote that does not end": b"A='" + b"x" * 1_000_000,
    "escapes": b'B="' + b"\\x" * 500_000,
    "a name": b"A" * 1_000_000,
    "blanks before it": b" " * 1_000_000 + b"A",
    "blanks after export": b"export" + b" " * 1_000_000 + b"A",
}


@pytest.mark.parametrize("case", LINES)
def test_a_line_of_a_megabyte_is_read_in_a_tenth_of_a_second(case: str) -> None:
    begun = time.process_time()
    dotenv_syntax.get(LINES[case], "A")
    assert time.process_time() - begun < 0.1


@pytest.mark.parametrize("line", [b"A='x\n", b'A="x\n', b'A="x\\\n', b"A=1\n"])
def test_a_file_of_many_lines_is_changed_in_linear_time(line: bytes) -> None:
    """Each of them is an assignment that is replaced, each begins a quote that does not end."""
    took = []
    for count in (10_000, 80_000):
        begun = time.process_time()
        dotenv_syntax.put(line * count, "A", "new")
        took.append(time.process_time() - begun)
    assert took[1] < 24 * took[0]  # eight times as long, not sixty-four


def test_what_is_put_stands_there(tmp_path: Path) -> None:
    """Whatever stood there before, in whatever quoting."""
    parts = [
        "A",
        "=",
        " ",
        "\t",
        "'",
        '"',
        "\\",
        "#",
        "\n",
        "\r\n",
        "x",
        "export ",
        "A=",
        "\nA=",
        "A='",
        " #",
        "B=1",
    ]
    chance = random.Random(7)
    for _ in range(3_000):
        text = "".join(chance.choices(parts, k=chance.randint(0, 20))).encode()
        assert dotenv_syntax.get(dotenv_syntax.put(text, "A", "the-value"), "A") == "the-value", (
            text
        )
