"""Whose credentials sign, at an endpoint that writes down who signed: moto answers 500 to calls of
an assumed role.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from rotator.errors import AccessDenied
from rotator.integrations.aws.secrets_manager import AwsSecretsManagerStore
from rotator.model import single

pytest.importorskip("boto3", reason="the extra 'aws' is not installed")

_ASSUMED = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAOFTHEROLE</AccessKeyId><SecretAccessKey>secret-of-the-role</SecretAccessKey>
<SessionToken>token-of-the-role</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_DENIED = (
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not this"
    " role</Message></Error></ErrorResponse>"
)


class Endpoint(BaseHTTPRequestHandler):
    seen: list[dict[str, str]]
    refuses = False

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        asked = parse_qs(body)
        signed = self.headers["authorization"]
        found = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", signed)
        assert found is not None, signed
        token = self.headers.get("x-amz-security-token", "")
        role, session = (asked.get(name, [""])[0] for name in ("RoleArn", "RoleSessionName"))
        told = dict(zip(("key", "region", "service"), found.groups(), strict=True))
        self.seen.append({**told, "token": token, "role": role, "session": session})
        if "Action" in asked:
            return self._answer(
                403 if self.refuses else 200, _DENIED if self.refuses else _ASSUMED, "text/xml"
            )
        held = {
            "SecretString": "first-value",
            "VersionId": "v1",
            "CreatedDate": 1.0,
            "Name": "app",
            "ARN": "arn",
        }
        return self._answer(200, json.dumps(held), "application/x-amz-json-1.1")

    def _answer(self, status: int, text: str, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Endpoint]]:
    handler = type("Here", (Endpoint,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment")
    (tmp_path / "config").write_text("[profile team]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text(
        "[team]\naws_access_key_id = AKIAOFTEAM\naws_secret_access_key = x\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    yield handler
    server.shutdown()
    server.server_close()


def store(endpoint: type[Endpoint], **settings: Any) -> AwsSecretsManagerStore:
    return AwsSecretsManagerStore(secret="app", endpoint_url=endpoint.url, **settings)  # type: ignore[attr-defined]


def test_a_role_is_assumed_and_its_session_signs(endpoint: type[Endpoint]) -> None:
    role = "arn:aws:iam::123456789012:role/rotator"
    held = store(endpoint, role_arn=role, region="eu-central-1").read()
    assert held is not None and held.values == single("first-value").values
    assumed, asked = endpoint.seen
    assert (assumed["key"], assumed["service"], assumed["role"]) == (
        "AKIAOFTHEENVIRONMENT",
        "sts",
        role,
    )
    assert assumed["session"] == "rotator"
    assert (asked["key"], asked["token"], asked["region"]) == (
        "ASIAOFTHEROLE",
        "token-of-the-role",
        "eu-central-1",
    )


def test_a_role_that_may_not_be_assumed_is_told(endpoint: type[Endpoint]) -> None:
    endpoint.refuses = True
    with pytest.raises(AccessDenied, match="sts:assume_role: AccessDenied: not this role"):
        store(
            endpoint, role_arn="arn:aws:iam::123456789012:role/other", region="eu-central-1"
        ).read()


def test_a_profile_signs_with_its_own_key_in_its_own_region(endpoint: type[Endpoint]) -> None:
    store(endpoint, profile="team").read()
    (asked,) = endpoint.seen
    assert (asked["key"], asked["region"]) == ("AKIAOFTEAM", "eu-west-3")


def test_without_a_word_the_environment_signs(
    endpoint: type[Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    store(endpoint).read()
    (asked,) = endpoint.seen
    assert (asked["key"], asked["region"]) == ("AKIAOFTHEENVIRONMENT", "us-west-2")
