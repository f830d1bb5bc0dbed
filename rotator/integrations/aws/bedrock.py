"""Provider `aws-bedrock`: long-term API keys of Amazon Bedrock, which are service-specific
credentials of an IAM user.

Source: IAM API reference, version 2010-05-08 (CreateServiceSpecificCredential,
ListServiceSpecificCredentials, UpdateServiceSpecificCredential, DeleteServiceSpecificCredential),
as in botocore 1.44.5; IAM User Guide, "API keys for Amazon Bedrock": a user has at most two. The
form of a key (`ABSK`, then base64 of its alias, a colon and the secret) and the words of a refusal
are seen in public reports, not documented: where an answer says neither, it proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Any

from rotator import deadline
from rotator.clients import http, http_status, reading
from rotator.counting import count
from rotator.durations import Seconds
from rotator.errors import (
    AccessDenied,
    ConfigError,
    NotFound,
    PermanentError,
    Rejected,
    Unreadable,
    Unsupported,
)
from rotator.integrations.aws import client as aws
from rotator.integrations.aws.client import Account
from rotator.integrations.aws.principals import AwsPrincipals
from rotator.model import (
    Credential,
    Finding,
    Identity,
    KeyRecord,
    Label,
    Level,
    NotYet,
    Overlap,
    Recovery,
)
from rotator.plugin import ProviderDefaults, setting
from rotator.secret import Secret, hint_of

_SERVICE = "bedrock.amazonaws.com"
_HEAD = "ABSK"
_DAY = 86_400.0
_LONGEST = 36_600  # days: CredentialAgeDays, IAM API reference
_REFUSED = "authentication failed"  # "…: Please make sure your API Key is valid."
_MAY_NOT = "is not authorized to perform"  # of a key that is alive
_MOST_PAGES = 100


@dataclass(frozen=True, kw_only=True)
class AwsBedrockProvider(ProviderDefaults, AwsPrincipals):
    """Long-term API keys of Amazon Bedrock (AWS_BEARER_TOKEN_BEDROCK): two at most of a user, so
    the second place must be free, or hold an old key of rotator's.
    """

    user: str = setting("The IAM user that has the keys")
    lifetime: Seconds | None = setting(
        "How long a new key lives, in whole days; without it, for ever", default=None
    )
    bedrock_url: str | None = setting(
        "Address of Bedrock's API, where keys are tried; without it, that of the region",
        default=None,
        connection=True,
    )
    propagation: Seconds = setting(
        "How long until a new key, or the end of one, is known at every edge of AWS", default=10.0
    )

    overlap = Overlap.MANY
    recovery = Recovery.DIFFERENCE  # these keys bear no name of ours
    supplied = False
    can_deactivate = True
    can_list = True
    list_lag = 15.0  # IAM is eventually consistent
    quota = 2

    def __post_init__(self) -> None:
        days = self.lifetime / _DAY if self.lifetime is not None else 1
        if not 1 <= days <= _LONGEST:
            raise ConfigError(f"lifetime is 1 to {_LONGEST} days", "for instance lifetime: 90d")
        if self.region and not re.fullmatch(r"[a-z0-9-]+", self.region):
            raise ConfigError(f"'{self.region}' is no region", "for instance region: eu-central-1")

    def preflight(self) -> list[Finding]:
        """Lists the keys, and says who signs."""
        records = self.inventory()
        found = [Finding(Level.OK, f"{len(records)} of {count(self.quota, 'key')}")]
        self._address()
        who = str(aws.call(self.account, "sts", "get_caller_identity", safe=True).get("Arn", ""))
        itself = who.partition(":user/")[2].rpartition("/")[2] == self.user
        return found + self.about_signing(itself, self._listed)

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        days = (
            {} if self.lifetime is None else {"CredentialAgeDays": math.ceil(self.lifetime / _DAY)}
        )
        answer = self.iam(
            "create_service_specific_credential",
            safe=False,
            UserName=self.user,
            ServiceName=_SERVICE,
            **days,
        )
        made = answer.get("ServiceSpecificCredential", {})
        if not made.get("ServiceCredentialSecret") or not made.get("ServiceSpecificCredentialId"):
            raise Unreadable(
                "IAM answered a create without a key; its fields are"
                f" {', '.join(sorted(map(str, made))) or 'none'}",
                "ServiceCredentialSecret and ServiceSpecificCredentialId are looked for",
            )
        value = Secret(str(made["ServiceCredentialSecret"]))
        return Credential(
            {"key": value},
            str(made["ServiceSpecificCredentialId"]),
            hint_of(value.reveal()),
            created_at=reading.moment(made.get("CreateDate")),
            expires_at=reading.moment(made.get("ExpirationDate")),
        )

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("IAM shows an API key only once")

    def inventory(self) -> list[KeyRecord]:
        return reading.distinct(map(_record, self.as_first_or_second(self._listed)))

    def _listed(self, account: Account) -> list[Mapping[str, Any]]:
        """All pages: botocore has no paginator for this listing."""
        found: list[Mapping[str, Any]] = []
        marker: dict[str, str] = {}
        in_time = deadline.listing("iam:list_service_specific_credentials")
        for _ in range(_MOST_PAGES):
            in_time()
            page = aws.call(
                account,
                "iam",
                "list_service_specific_credentials",
                safe=True,
                UserName=self.user,
                ServiceName=_SERVICE,
                **marker,
            )
            found += page.get("ServiceSpecificCredentials", [])
            following = page.get("Marker")
            if not page.get("IsTruncated"):
                return found
            if not following or following == marker.get("Marker"):
                break
            marker = {"Marker": following}
        raise PermanentError("IAM's listing of service-specific credentials does not get on")

    def id_told(self, credential: Credential) -> str:
        """By the alias in the key, which the list shows, too; '' where it tells no single one."""
        alias = _alias(credential.primary.reveal())
        same = [one.id for one in self.inventory() if alias and one.label == alias]
        return same[0] if len(same) == 1 else ""

    def deactivate(self, credential: Credential) -> None:
        self._switch(credential, "Inactive")

    def reactivate(self, credential: Credential) -> None:
        self._switch(credential, "Active")

    def _switch(self, credential: Credential, status: str) -> None:
        wanted = {"ServiceSpecificCredentialId": _id(credential), "Status": status}
        self.iam("update_service_specific_credential", safe=True, UserName=self.user, **wanted)

    def revoke(self, credential: Credential) -> None:
        wanted = {"ServiceSpecificCredentialId": _id(credential), "UserName": self.user}
        try:
            self.iam("delete_service_specific_credential", safe=True, **wanted)
        except NotFound:
            return

    def probe(self, credential: Credential) -> Identity:
        """Bedrock's ListFoundationModels, with the key as a bearer token."""
        if not credential.values:
            raise Unsupported("the key's value is not known")
        key = credential.primary.reveal()
        if reason := reading.no_header(key):
            raise PermanentError(f"the key cannot stand in a header: {reason}")
        request = http.Request(
            "GET",
            f"{self._address()}/foundation-models",
            {"authorization": f"Bearer {key}", "accept": "application/json"},
            secrets=(credential.primary,),
        )
        answer = http.send(request)
        said = answer.body[:2000].decode(errors="replace").lower()
        if answer.status < 300 or (answer.status == 403 and _MAY_NOT in said):
            return Identity()
        if answer.status == 401 or (answer.status == 403 and _REFUSED in said):
            raise Rejected(f"Bedrock refuses the key ({answer.status})")
        http_status.passing(answer, request, "Bedrock", answer.guarded)
        kind = AccessDenied if answer.status == 403 else PermanentError
        raise kind(f"Bedrock answered {answer.status}: {answer.guarded}")

    def _address(self) -> str:
        """Raises ConfigError without a region."""
        if self.bedrock_url:
            return self.bedrock_url.rstrip("/")
        region = self.region or aws.session(self.account).region_name
        if not region:
            raise ConfigError(
                "no region in which keys are tried", "say `region:`, or AWS_DEFAULT_REGION"
            )
        return f"https://bedrock.{region}.amazonaws.com"

    def signs(self) -> str:
        return ascii_letters + digits + "/+="

    def looks_right(self, value: Secret) -> str:
        return (
            ""
            if re.fullmatch(r"ABSK[A-Za-z0-9+/]{20,1000}={0,2}", value.reveal())
            else "a long-term API key of Bedrock begins with ABSK, and goes on in base64"
        )

    def literal_prefix(self, value: Secret) -> str:
        """All up to the alias is the same in each."""
        return value.reveal()[: len("ABSKQmVkcm9ja0FQSUtleS")]


def _record(item: Mapping[str, Any]) -> KeyRecord:
    key_id = reading.key_id(item.get("ServiceSpecificCredentialId"))
    if not key_id:
        raise PermanentError(
            "IAM lists a service-specific credential without an id", "is the address right?"
        )
    return KeyRecord(
        key_id,
        label=reading.told(item.get("ServiceCredentialAlias")),
        created_at=reading.moment(item.get("CreateDate")),
        expires_at=reading.moment(item.get("ExpirationDate")),
        active=item.get("Status") == "Active",
    )


def _alias(key: str) -> str:
    """The public part of a key, '' where it has another form."""
    if not key.startswith(_HEAD):
        return ""
    try:
        text = base64.b64decode(key.removeprefix(_HEAD), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text.partition(":")[0] if ":" in text else ""


def _id(credential: Credential) -> str:
    if not credential.id:
        raise PermanentError("the key's id is not known", "`rotator adopt` it with its id")
    return credential.id
