"""An IAM that has service-specific credentials, which moto has not, and a Bedrock that takes them.

It speaks the wire form of IAM and STS: parameters as a form, answers in XML, which botocore reads
by its own description. That requests are right is botocore's word, which validates each parameter
before it is sent.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"
MADE = "2026-11-01T10:00:00Z"


@dataclass
class Issued:
    id: str
    alias: str
    secret: str
    status: str = "Active"
    expires: str = ""

    @property
    def value(self) -> str:
        pair = f"{self.alias}:{self.secret}".encode()
        return f"ABSK{base64.b64encode(pair).decode()}"


@dataclass
class Iam:
    """One user's keys. `denied` are the access keys that may not do anything about keys."""

    user: str = "app"
    keys: dict[str, Issued] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    signs_as: str = "admin"
    may_list_models: bool = True
    lose_answers: int = 0
    page: int = 100
    stands_still: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def make(self, days: str = "") -> Issued:
        number = next(self.count)
        alias = f"{self.user}+{number}-at-123456789012"
        made = Issued(f"ACCA{number:016}", alias, f"secret{number:034}=")
        made.expires = "2027-01-30T10:00:00Z" if days else ""
        self.keys[made.id] = made
        return made

    def accepts(self, value: str) -> bool:
        return any(key.value == value and key.status == "Active" for key in self.keys.values())

    def answer(self, signer: str, form: dict[str, str]) -> tuple[int, str]:
        action = form["Action"]
        self.asked.append({**form, "signer": signer})
        if action == "GetCallerIdentity":
            arn = f"arn:aws:iam::123456789012:user/{self.signs_as}"
            return 200, _told(action, f"<Arn>{arn}</Arn><Account>123456789012</Account>")
        if signer in self.denied:
            return 403, _error("AccessDenied", "explicit deny in an identity-based policy")
        if form.get("UserName") != self.user:
            return 404, _error("NoSuchEntity", "no such user")
        if action == "CreateServiceSpecificCredential":
            if len(self.keys) >= 2:
                return 409, _error("LimitExceeded", "Cannot exceed quota: 2")
            made = self.make(form.get("CredentialAgeDays", ""))
            secret = f"<ServiceCredentialSecret>{made.value}</ServiceCredentialSecret>"
            one = _fields(made, self.user) + secret
            return 200, _told(
                action, f"<ServiceSpecificCredential>{one}</ServiceSpecificCredential>"
            )
        if action == "ListServiceSpecificCredentials":
            return 200, _told(action, self._listed(int(form.get("Marker", "0"))))
        key = self.keys.get(form.get("ServiceSpecificCredentialId", ""))
        if key is None:
            return 404, _error("NoSuchEntity", "no such credential")
        if action == "UpdateServiceSpecificCredential":
            key.status = form["Status"]
        else:
            del self.keys[key.id]
        return 200, f'<{action}Response xmlns="{NAMESPACE}"/>'

    def _listed(self, start: int) -> str:
        keys = list(self.keys.values())
        shown = keys[start : start + self.page]
        more = start + self.page < len(keys) or self.stands_still
        members = "".join(f"<member>{_fields(key, self.user)}</member>" for key in shown)
        text = f"<ServiceSpecificCredentials>{members}</ServiceSpecificCredentials>"
        marker = 1 if self.stands_still else start + self.page
        return text + (f"<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>" if more else "")


def _fields(key: Issued, user: str) -> str:
    ends = f"<ExpirationDate>{key.expires}</ExpirationDate>" if key.expires else ""
    return (
        f"<ServiceSpecificCredentialId>{key.id}</ServiceSpecificCredentialId>"
        f"<ServiceCredentialAlias>{escape(key.alias)}</ServiceCredentialAlias>"
        f"<ServiceName>bedrock.amazonaws.com</ServiceName><UserName>{user}</UserName>"
        f"<Status>{key.status}</Status><CreateDate>{MADE}</CreateDate>{ends}"
    )


def _told(action: str, inside: str) -> str:
    result = f"<{action}Result>{inside}</{action}Result>"
    return f'<{action}Response xmlns="{NAMESPACE}">{result}</{action}Response>'


def _error(code: str, message: str) -> str:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<ErrorResponse xmlns="{NAMESPACE}">{error}</ErrorResponse>'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    iam: Iam
    lock: threading.RLock

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        found = re.search(r"Credential=(\w+)/", self.headers.get("authorization", ""))
        with self.lock:
            form = dict(urllib.parse.parse_qsl(raw))
            status, text = self.iam.answer(found[1] if found else "", form)
            lost = self.iam.lose_answers > 0 and form["Action"].startswith("Create")
            self.iam.lose_answers -= lost
        if lost:
            self.close_connection = True
            self.connection.close()
            return
        self._say(status, text, "text/xml")

    def do_GET(self) -> None:
        """ListFoundationModels."""
        value = self.headers.get("authorization", "").removeprefix("Bearer ")
        with self.lock:
            known, may = self.iam.accepts(value), self.iam.may_list_models
        if not known:
            said = "Authentication failed: Please make sure your API Key is valid."
            self._say(403, json.dumps({"Message": said}), "application/json")
        elif not may:
            said = "User: u is not authorized to perform: bedrock:ListFoundationModels"
            self._say(403, json.dumps({"message": said}), "application/json")
        else:
            self._say(200, json.dumps({"modelSummaries": []}), "application/json")

    def _say(self, status: int, text: str, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


@contextlib.contextmanager
def serving(iam: Iam) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"iam": iam, "lock": threading.RLock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
