"""What is believed of an IAM that answers oddly to a create: a key may have been made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rotator.errors import (
    AccessDenied,
    OutcomeUnknown,
    QuotaExceeded,
    RotatorError,
    TransientError,
    Unreadable,
)
from rotator.integrations.aws.iam import AwsIamProvider
from rotator.model import Label
from rotator.reference import Reference

pytest.importorskip("boto3", reason="the extra 'aws' is not installed")

LABEL = Label("inst", "play", "01ROTATION", 1)
_CREATED = """<CreateAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><CreateAccessKeyResult>%s
</CreateAccessKeyResult></CreateAccessKeyResponse>"""
_KEY = "<AccessKey><AccessKeyId>AKIA0123456789ABCDEF</AccessKeyId>%s<Status>Active</Status>%s</AccessKey>"
_SECRET = "<SecretAccessKey>secret-of-the-new-key</SecretAccessKey>"
_ERROR = (
    "<ErrorResponse><Error><Code>%s</Code><Message>made"
    " secret-of-the-new-key</Message></Error></ErrorResponse>"
)


class Iam(BaseHTTPRequestHandler):
    status, text = 200, ""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text.encode())


@pytest.fixture
def iam(tmp_path: Path) -> Iterator[tuple[type[Iam], AwsIamProvider]]:
    handler = type("Handler", (Iam,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    (tmp_path / "admin").write_text("AKIAADMIN")
    signing = dict.fromkeys(
        ("access_key_id", "secret_access_key"), Reference("file", str(tmp_path / "admin"))
    )
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield (
        handler,
        AwsIamProvider(user="app", region="eu-central-1", endpoint_url=url, credentials=signing),
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (200, _CREATED % "", Unreadable),
        (200, _CREATED % (_KEY % ("", "")), Unreadable),
        (200, _CREATED % (_KEY % (_SECRET, "<CreateDate>soon</CreateDate>")), OutcomeUnknown),
        (200, "<html>a proxy</html", OutcomeUnknown),
        (200, "<CreateAccessKeyResponse>secret-of-the-new-key", OutcomeUnknown),
        (400, _ERROR % "secret-of-the-new-key", RotatorError),
        (500, _ERROR % "InternalFailure", OutcomeUnknown),
        (503, _ERROR % "ServiceUnavailable", OutcomeUnknown),
        (503, "", OutcomeUnknown),
        (400, _ERROR % "Throttling", TransientError),
        (403, _ERROR % "AccessDenied", AccessDenied),
        (409, _ERROR % "LimitExceeded", QuotaExceeded),
    ],
)
def test_a_create_is_a_plain_failure_only_where_it_was_refused(
    status: int, text: str, kind: type[RotatorError], iam: tuple[type[Iam], AwsIamProvider]
) -> None:
    handler, provider = iam
    handler.status, handler.text = status, text
    with pytest.raises(kind) as told:
        provider.generate(LABEL, None)
    assert "secret-of-the-new-key" not in told.value.message + told.value.hint


def test_a_key_without_a_date_is_a_key(iam: tuple[type[Iam], AwsIamProvider]) -> None:
    handler, provider = iam
    handler.text = _CREATED % (_KEY % (_SECRET, "<CreateDate>0001-01-01T00:00:00Z</CreateDate>"))
    made = provider.generate(LABEL, None)
    assert (made.id, made.primary.reveal(), made.created_at) == (
        "AKIA0123456789ABCDEF",
        "secret-of-the-new-key",
        None,
    )
