"""Channel `webhook`: a signed request to an address.

Source: Standard Webhooks 1.0.0,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime

from rotator.clients import http
from rotator.errors import PermanentError, PluginError, TransientError
from rotator.plugin import setting
from rotator.plugin.channel import Gone, Notice, without_address
from rotator.reference import Reference
from rotator.secret import Secret

_PREFIX = "whsec_"
_LEAST, _MOST = 24, 64  # bytes of a secret
_GONE = 410  # "the receiver wants no more": the specification's word for it


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Post JSON to an address, signed by Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`
    and `webhook-signature`.
    """

    url: Reference = setting("Its address: a reference, as it may hold a token", connection=True)
    secret: Reference = setting(
        "What signs it: `whsec_` and 24 to 64 bytes in base64", connection=True
    )
    former_secret: Reference | None = setting(
        "Signs it, too, until the receiver knows the new `secret`", default=None, connection=True
    )

    def check(self) -> None:
        self._resolved()

    def send(self, notice: Notice) -> None:
        address, keys = self._resolved()
        body = json.dumps(
            {
                "type": f"rotation.{notice.kind.replace(' ', '_')}",
                "timestamp": datetime.fromtimestamp(notice.at, UTC).isoformat(),
                "data": {
                    "playbook": notice.playbook,
                    "kind": str(notice.kind),
                    "title": notice.title,
                    "text": notice.text,
                    **notice.data,
                },
            },
            separators=(",", ":"),
        ).encode()
        headers = {"content-type": "application/json", **signed(keys, notice.id, body)}
        url = address.reveal()
        request = http.Request("POST", url, headers, content=body, secrets=(address,))
        try:
            answer = http.send(request)
        except PluginError as error:  # it may name all of the address
            raise type(error)(without_address(error.message, _tokens(url)), error.hint) from error
        if 200 <= answer.status < 300:
            return
        words = without_address(f"answered {answer.status}: {answer.guarded}", _tokens(url))
        if answer.status == _GONE:
            raise Gone(f"the receiver {words}", "it wants no more: take the entry out of `notify`")
        raise TransientError(f"the receiver {words}", "is the address right, and its server up?")

    def _resolved(self) -> tuple[Secret, list[bytes]]:
        """Its address and the keys that sign, the present one first."""
        address = self.url.resolve()
        if not address.reveal().startswith(("https://", "http://")):
            raise PermanentError(
                f"{self.url} is no address of a webhook", "it begins with https:// (or http://)"
            )
        keys = [_key(self.secret)]
        if self.former_secret is not None:
            keys.append(_key(self.former_secret))
        return address, keys


def signed(keys: list[bytes], identifier: str, body: bytes) -> dict[str, str]:
    """The three headers. The time is that of this attempt, in Unix seconds."""
    now = int(time.time())
    content = f"{identifier}.{now}.".encode() + body
    signatures = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }


def _key(reference: Reference) -> bytes:
    """Raises PermanentError for what is no secret of a webhook; it does not say what it is."""
    text = reference.resolve().reveal()
    hint = "whsec_$(openssl rand -base64 32)"
    if not text.startswith(_PREFIX):
        raise PermanentError(f"{reference} does not begin with {_PREFIX}", hint)
    encoded = text.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PermanentError(f"{reference} is not base64 after {_PREFIX}", hint) from error
    if not _LEAST <= len(key) <= _MOST:
        words = f"{reference} is a key of {len(key)} bytes: {_LEAST} to {_MOST} are wanted"
        raise PermanentError(words, hint)
    return key


def _tokens(url: str) -> str:
    """What of an address may be secret: all but its host."""
    try:
        found = urllib.parse.urlsplit(url)
    except ValueError:
        return url
    return f"{found.netloc.rpartition('@')[0]}/{found.path}?{found.query}"
