"""Makes .venv, or adds to it: `python3 .ci/environment.py LOCK [.]` installs what the lock names
[and this checkout].

Run by make before anything is installed: only the standard library is here. A failure shows pip's
own last words, then a hint that fits them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PYTHON = Path(".venv/bin/python")
_PIP = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
_LINES = 12

_ANOTHER_INDEX = "`pip config list` tells which index pip asks; PIP_INDEX_URL=… names another"
# pip's words, and what to do about them. The first that is found counts.
_HINTS = (
    (
        "DO NOT MATCH THE HASHES",
        (
            "the index gave another file than the lock names. A broken download: `pip cache purge`;"
            " a mirror that alters files: PIP_INDEX_URL=… names another"
        ),
    ),
    ("No space left", "the disk is full: here, or where TMPDIR is"),
    (
        "CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "pip does not trust the certificate of the index: PIP_CERT=/path/of/authority.pem",
    ),
    (
        (
            "NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|ConnectionReset|Failed to"
            " establish"
        ),
        f"pip does not reach the index: {_ANOTHER_INDEX}, HTTPS_PROXY=… a proxy",
    ),
    (
        "from versions: none",
        f"the index has no such package, or nothing is reached there: {_ANOTHER_INDEX}",
    ),
    (
        "No matching distribution",
        (
            "the index has other versions of it, none that the lock names and this Python can"
            f" take: {_ANOTHER_INDEX}"
        ),
    ),
    ("Permission denied", "some of it belongs to another user: remove .venv, then once more"),
)


def main(*wanted: str) -> int:
    if not _usable():
        print(f"making .venv with Python {sys.version.split()[0]}", file=sys.stderr)
        made = _run(sys.executable, "-m", "venv", "--clear", ".venv")
        if made.returncode:
            return _told(
                "the virtual environment could not be made:",
                made.stdout,
                _why_no_environment(made.stdout),
            )
        wanted = tuple(dict.fromkeys((*wanted, ".")))
    for one in wanted:
        what = (
            ("--no-build-isolation", "-e", one) if one == "." else ("--require-hashes", "-r", one)
        )
        done = _run(*_PIP, *what)
        if done.returncode:
            packages = "rotator" if one == "." else f"the packages of {one}"
            return _told(
                f"{packages} could not be installed; pip says:",
                done.stdout,
                _why_not_installed(done.stdout),
            )
    return 0


def _usable() -> bool:
    """Whether .venv is there, whole, and of this Python (not after an upgrade of the system's)."""
    version = f"import sys, pip; print(sys.version_info[:2] == {sys.version_info[:2]!r})"
    return PYTHON.exists() and _run(str(PYTHON), "-c", version).stdout.strip() == "True"


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    )


def _told(error: str, said: str, hint: str) -> int:
    print(f"error: {error}", file=sys.stderr)
    for line in said.strip().splitlines()[-_LINES:]:
        print(f"  {line}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return 1


def _why_no_environment(said: str) -> str:
    if "ensurepip" in said or "No module named" in said:
        return (
            "this Python comes without venv or pip; Debian and Ubuntu keep them apart: apt install"
            " python3-venv"
        )
    return "may you write here, and is there room?"


def _why_not_installed(said: str) -> str:
    return next((hint for words, hint in _HINTS if re.search(words, said)), "")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
