"""The page "Run it", as it stands: what it shows is typed, what it says is asked."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from rotator.daemon.listening import DEFAULT
from rotator.demo.world import _installed
from tests.acceptance.conftest import AcceptanceWorld, world  # noqa: F401  (a fixture)
from tests.docs.test_docs import DOCS, blocks, commands
from tests.servers.tools import asked, free_port, wait_for

PAGE = DOCS / "run-it.md"
TEXT = PAGE.read_text()


def test_cron_tells_what_is_wrong_and_nothing_else(world: AcceptanceWorld) -> None:  # noqa: F811
    """By the shell that cron has: a mail is what is printed."""
    (line,) = [text for text in blocks(PAGE, "text") if text.startswith("*/5 ")]
    command = line.split(maxsplit=5)[5].replace(
        "/opt/rotator/bin/", f"{Path(sys.executable).parent}/"
    )

    def called() -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            env=world.environment,
            cwd=world.folder,
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    assert called() == ""
    (world.folder / "playbooks" / "broken.yaml").write_text("generate: {uses: openai\n")
    assert "playbooks/broken.yaml:2:1: is not YAML" in called()


def test_the_daemon_answers_what_the_page_says(world: AcceptanceWorld) -> None:  # noqa: F811
    """Each line for curl, each row of the table; then the first signal of two ends it with 0."""
    place = f"127.0.0.1:{free_port()}"
    assert DEFAULT in TEXT and "rotator daemon" in commands(PAGE)
    daemon = subprocess.Popen(
        [*_installed("rotator"), "daemon", "--listen", place],
        env=world.environment,
        cwd=world.folder,
    )
    try:
        wait_for("the daemon", lambda: asked(place, "GET", "/readyz")[0] == 200, 30)
        rows = re.findall(r"^\| `(GET|POST) (\S+)` \| (\d+)", TEXT, re.M)
        typed = re.findall(rf"^curl -s (?:-X (POST) )?http://{DEFAULT}(\S+)$", TEXT, re.M)
        assert len(rows) == 5 and len(typed) == 4
        for method, path in typed:
            assert (method or "GET", path) in [row[:2] for row in rows]
        for method, path, code in rows:
            assert asked(place, method, path)[0] == int(code), path
        metrics = asked(place, "GET", "/metrics")[1]
        for name in re.findall(r"`(rotator_[a-z_]+)`", TEXT):
            assert f"# TYPE {name} " in metrics, name
        doctor = world.rotator("doctor").stdout
        assert re.search(r"schedules: the daemon looked what is due .* by ", doctor), doctor
        (world.folder / "playbooks" / "broken.yaml").write_text("generate: {uses: openai\n")
        code, told = asked(place, "POST", "/-/reload")
        assert code == 400 and "mistakes" in told and "broken.yaml" in told
        assert asked(place, "GET", "/readyz")[0] == 200
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(25) == 0


def test_doctor_says_what_the_page_shows(world: AcceptanceWorld) -> None:  # noqa: F811
    """That nobody calls, in these very words."""
    demo = world.folder / "playbooks" / "demo.yaml"
    demo.write_text(demo.read_text() + "schedule: {every: 30d}\n")
    (shown,) = [text for text in blocks(PAGE, "text") if text.startswith("✗ schedules")]
    said = world.rotator("doctor").stdout
    for line in shown.splitlines()[:2]:
        assert line in said, said
