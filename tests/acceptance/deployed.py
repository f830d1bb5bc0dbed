"""The image of this checkout in a cluster or a swarm, with the files of deploy/ as they stand: only
addresses, names of images, and times that would take days are other ones.
"""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.issued import CONSUMER, Issued

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLES = DEPLOY / "examples"
NAME, KEY = "paracle-api", "OPENAI_API_KEY"


class Deployed(Issued):
    """An issuer on this machine, and the playbook of paracle-api that asks it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sealing_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.consumer = CONSUMER.read_text()

    def playbook_of(self, example: str, issuer: str, **more: Any) -> str:
        """The example's, for this issuer, without the waits of days."""
        book = yaml.safe_load((EXAMPLES / example / "paracle-api-playbook.yaml").read_text())
        book["generate"] |= {"project": "proj_demo", "base_url": f"http://{issuer}/v1"}
        book["verify"] = [{"uses": "provider"}]  # no names of services are served here
        book["revoke"] = {"grace": "0s", "quiet": "0s", "watch": "0s"}
        book["limits"] = {"step": "240s", "pass_interval": "200ms", "list_lag": "200ms"}
        return json.dumps({**book, **more})


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))
