"""From a world that `rotator demo --keep` leaves running, two commands lead to the first rotation."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from rotator.clients import procfs
from rotator.demo.consumer import ask, key_in
from rotator.demo.world import _installed

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ROTATOR_")}


def said(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_installed(arguments[0]), *arguments[arguments[0] == "rotate" :]],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(tmp_path))
    folder = Path(json.loads(said(tmp_path, "demo", "--keep", "--json").stdout)["folder"])
    try:
        yield folder
    finally:
        for name in ("consumer.pid", "issuer.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((folder / name).read_text()), signal.SIGTERM)


def live(folder: Path, issuer: str) -> Any:
    where = urlsplit(issuer)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    admin = (folder / "openai-admin").read_text()
    connection.request("GET", "/_state", headers={"authorization": f"Bearer {admin}"})
    found = json.loads(connection.getresponse().read())["live"]
    connection.close()
    return [one["value"] for one in found]


def test_init_and_rotate_are_the_only_two_commands_to_the_first_rotation(kept: Path) -> None:
    old = key_in(kept / ".env")
    first = said(kept, "init")
    assert first.returncode == 0 and "✓ openai.yaml" in first.stdout, first
    assert old not in first.stdout + first.stderr
    written = yaml.safe_load((kept / "playbooks" / "openai.yaml").read_text())
    (restart,) = written["restart"]
    assert (restart["uses"], restart["signal"], written["evidence"]) == ("process", "HUP", "read")
    done = said(kept, "rotate", "openai")
    assert done.returncode == 0 and "verified" in done.stdout, done
    new, issuer = key_in(kept / ".env"), written["generate"]["base_url"].removesuffix("/v1")
    assert new != old and ask(issuer, new) == 200
    pid = int((kept / "consumer.pid").read_text())
    holds = procfs.variable(pid, "OPENAI_API_KEY")
    assert not isinstance(holds, procfs.Missing) and holds.reveal() == new
    assert sorted(live(kept, issuer)) == sorted([old, new]), "the old one waits out its grace"
