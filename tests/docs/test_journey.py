"""Getting started, done as it stands: a key of a service that rotator does not know is rotated."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rotator.integrations.command.store import CommandStore
from rotator.model import Note, single
from tests.docs.test_docs import DOCS, blocks, commands

PAGE = DOCS / "getting-started.md"
TITLE = "## A service that rotator does not know"


@dataclass
class Acme:
    """The service of the page: it makes, lists, revokes and accepts keys of a shop."""

    token: str = "an-administrators-token"
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    url: str = ""

    def make(self, name: str) -> dict[str, str]:
        key = {
            "id": f"k{len(self.keys) + 1}",
            "name": name,
            "secret": f"acme_{secrets.token_hex(16)}",
        }
        self.keys[key["id"]] = {
            **key,
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        return self.keys[key["id"]]

    @property
    def accepted(self) -> list[str]:
        return [key["secret"] for key in self.keys.values()]

    def answer(
        self, method: str, path: str, bearer: str, body: dict[str, str]
    ) -> tuple[int, object]:
        if (method, path) == ("GET", "/whoami"):
            return (
                (200, {"shop": "shop_1"})
                if bearer in self.accepted
                else (401, {"error": "no such key"})
            )
        if bearer != self.token:
            return 401, {"error": "not an administrator"}
        match method, path.removeprefix("/shops/shop_1/keys"):
            case "POST", "":
                return 201, self.make(body["name"])
            case "GET", "":
                shown = [
                    {**key, "masked": f"acme_...{key['secret'][-6:]}"} for key in self.keys.values()
                ]
                return 200, {
                    "keys": [{name: key[name] for name in key if name != "secret"} for key in shown]
                }
            case "DELETE", rest:
                return (
                    (204, None)
                    if self.keys.pop(rest[1:], None)
                    else (404, {"error": "no such key"})
                )
        return 404, {"error": "no such thing"}


@pytest.fixture
def acme() -> Iterator[Acme]:
    found = Acme()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            status, told = found.answer(self.command, self.path, bearer, json.loads(body or b"{}"))
            text = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def test_a_key_of_an_unknown_service_is_rotated_by_what_the_page_says(
    acme: Acme, tmp_path: Path
) -> None:
    """Its two files and its three commands; only addresses, paths and spans of time are ours."""
    ours = {
        "https://api.acme.example": acme.url,
        "/etc/rotator/": f"{tmp_path}/etc/",
        "/srv/shop/": f"{tmp_path}/shop/",
        "quiet: 0s}": "quiet: 0s}\nlimits: {pass_interval: 10ms}",
    }
    for body in blocks(PAGE, "yaml"):
        if named := re.match(r"# (playbooks/.+)\n", body):
            for theirs, here in ours.items():
                body = body.replace(theirs, here)
            (tmp_path / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named[1]).write_text(body)
    old = acme.make("by hand")["secret"]
    shop, etc = tmp_path / "shop", tmp_path / "etc"
    shop.mkdir()
    etc.mkdir()
    (etc / "acme-admin").write_text(acme.token + "\n")
    (shop / ".env").write_text(f"PORT=80\nACME_KEY={old}\n")
    # The service takes its key when it starts.
    (shop / "restart.sh").write_text(f"#!/bin/sh\ncp {shop}/.env {shop}/running\n")
    (shop / "ready.sh").write_text(f"#!/bin/sh\ntest -f {shop}/running || exit 75\n")
    for script in shop.glob("*.sh"):
        script.chmod(0o755)
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ROTATOR_HOME": str(tmp_path / "state"),
    }

    section = tmp_path / "section.md"
    section.write_text(PAGE.read_text().partition(TITLE)[2].partition("\n## ")[0])
    lines = commands(section)
    assert [line.split()[0] for line in lines] == ["rotator", "rotate", "rotate"]
    for line in lines:
        done = subprocess.run(line.split(), cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"

    held = re.search(r"ACME_KEY=(.*)", (shop / ".env").read_text())
    assert held and held[1] != old and sorted(acme.accepted) == sorted([old, held[1]]), (
        "the old key has its grace"
    )
    assert (
        (shop / "running").read_text()
        == (shop / ".env").read_text()
        == f"PORT=80\nACME_KEY={held[1]}\n"
    )
    done = subprocess.run(
        ["rotator", "revoke", "acme-prod"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0 and acme.accepted == [held[1]], done.stdout + done.stderr


def _section(title: str, tmp_path: Path) -> Path:
    """A page of one part of the page."""
    section = tmp_path / "section.md"
    section.write_text(PAGE.read_text().partition(f"## {title}")[2].partition("\n## ")[0])
    return section


def _env(tmp_path: Path, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "ROTATOR_HOME": str(tmp_path / "state"), **more}


def test_a_playbook_is_tried_with_the_issuer_of_the_demo(tmp_path: Path) -> None:
    page = _section("At another address", tmp_path)
    (script,) = blocks(page, "sh")
    begun = f"{script}\necho; echo $!"
    said = tmp_path / "said"
    with said.open("w") as output:  # no pipe: the issuer goes on, and would hold it open
        subprocess.run(
            ["sh", "-c", begun], cwd=tmp_path, env=_env(tmp_path), stdout=output, timeout=60
        )
    answer, pid = said.read_text().strip().rsplit("\n", 1)
    try:
        old = json.loads(answer)["api_key"]["value"]
        (tmp_path / "trial.env").write_text(f"OPENAI_API_KEY={old}\n")
        port = (tmp_path / "issuer.port").read_text()
        (playbook,) = blocks(page, "yaml")
        (tmp_path / "playbooks").mkdir()
        (tmp_path / "playbooks" / "trial.yaml").write_text(playbook.replace("39097", port))
        env = _env(tmp_path, DEMO_ADMIN_KEY="a-made-up-key")
        for line in commands(page):
            done = subprocess.run(
                line.split(), cwd=tmp_path, env=env, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        assert "alive" in done.stdout and "dead" in done.stdout and old not in done.stdout
        assert (tmp_path / "trial.env").read_text() != f"OPENAI_API_KEY={old}\n"
    finally:
        os.kill(int(pid), signal.SIGTERM)


def test_the_key_in_a_json_file_is_read_and_replaced_by_the_program_of_the_page(
    tmp_path: Path,
) -> None:
    (text,) = blocks(_section("A key in a JSON", tmp_path), "python")
    config, program = tmp_path / "config.json", tmp_path / "config-key"
    program.write_text(text.replace("/srv/app/config.json", str(config)))
    program.chmod(0o755)
    before = {"openai": {"api_key": "old-value", "model": "m"}, "port": 80}
    config.write_text(json.dumps(before))
    config.chmod(0o640)
    store = CommandStore(read_argv=[str(program)], write_argv=[str(program), "write"])
    held = store.read()
    assert held is not None and held.values is not None
    assert held.values["key"].reveal() == "old-value"
    store.write(single("new-value"), held.version, Note("key_1", "one", "r", 0.0))
    after = store.read()
    assert after is not None and after.values is not None
    assert after.values["key"].reveal() == "new-value"
    assert json.loads(config.read_text()) == {
        **before,
        "openai": {"api_key": "new-value", "model": "m"},
    }
    assert config.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.glob("config*")) == ["config-key", "config.json"]
