"""Provider `aws-iam`: access keys of an IAM user.

Source: IAM API reference, version 2010-05-08 (CreateAccessKey, ListAccessKeys, UpdateAccessKey,
DeleteAccessKey, GetAccessKeyLastUsed); a user has at most two access keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Any

from rotator.clients import reading
from rotator.counting import count
from rotator.durations import Seconds
from rotator.errors import AccessDenied, NotFound, PermanentError, Rejected, Unreadable, Unsupported
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

_REFUSED = (
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "UnrecognizedClientException",
)


@dataclass(frozen=True, kw_only=True)
class AwsIamProvider(ProviderDefaults, AwsPrincipals):
    """Access keys of an IAM user: two at most, so the second place must be free, or hold an old key
    of rotator's.

    The secret value is `secret_access_key`; `access_key_id` and `region` stand beside it in stores
    (`keys:`).
    """

    user: str | None = setting("The IAM user; without it, the one whose key signs", default=None)
    usage_lag: Seconds = setting("How late AWS may tell the last use", default=14_400.0)
    # IAM is eventually consistent (IAM User Guide, "Troubleshoot IAM": changes are not always
    # visible at once) and gives no number; fresh keys were seen refused for some 5 s
    # (hashicorp/vault #687): twice that.
    propagation: Seconds = setting(
        "How long until a new key, or the end of one, is known at every edge of AWS", default=10.0
    )

    fields = ("secret_access_key",)
    overlap = Overlap.MANY
    recovery = Recovery.DIFFERENCE  # access keys bear no name
    supplied = False
    can_deactivate = True
    can_list = True
    list_lag = 15.0  # IAM is eventually consistent
    tells_use = True
    quota = 2

    def beside(self, credential: Credential) -> Mapping[str, str]:
        return {"access_key_id": credential.id, **({"region": self.region} if self.region else {})}

    def id_of(self, beside: Mapping[str, str]) -> str:
        return beside.get("access_key_id", "")

    def authenticated_by(self, credential: Credential) -> bool:
        """By the access key that signs, wherever the SDK finds it."""
        signing = aws.session(self.account).get_credentials()
        return signing is not None and bool(credential.id) and signing.access_key == credential.id

    def _of_user(self) -> dict[str, str]:
        return {"UserName": self.user} if self.user else {}

    def preflight(self) -> list[Finding]:
        """Lists the keys: shows who signs and how full the quota is."""
        records = self.inventory()
        found = [Finding(Level.OK, f"{len(records)} of {count(self.quota, 'key')}")]
        signing = aws.session(self.account).get_credentials()
        mine = signing is not None and signing.access_key in {record.id for record in records}
        if mine and self.credentials is None and self.profile is None:
            found.append(
                Finding(
                    Level.ERROR,
                    f"rotator signs with {signing.access_key}, a key of the very user, fixed in its"
                    " environment",
                    "refer to where the store puts it: `credentials: {access_key_id: {file: …},"
                    " …}`, or a `profile:`",
                )
            )
        return found + self.about_signing(mine, self._listed)

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        answer = self.iam("create_access_key", safe=False, **self._of_user())
        made = answer.get("AccessKey", {})
        if not made.get("SecretAccessKey") or not made.get("AccessKeyId"):
            raise Unreadable(
                "IAM answered a create without a key; its fields are"
                f" {', '.join(sorted(map(str, made))) or 'none'}",
                "AccessKey.SecretAccessKey and AccessKey.AccessKeyId are looked for",
            )
        key_id = str(made["AccessKeyId"])
        values = {"secret_access_key": Secret(made["SecretAccessKey"])}
        return Credential(
            values, key_id, hint_of(key_id), created_at=reading.moment(made.get("CreateDate"))
        )

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("IAM shows a secret access key only once")

    def inventory(self) -> list[KeyRecord]:
        found = self.as_first_or_second(self._listed)
        return reading.distinct(self._record(item) for item in found)

    def _listed(self, account: Account) -> list[Any]:
        return aws.pages(account, "iam", "list_access_keys", "AccessKeyMetadata", **self._of_user())

    def _record(self, item: Mapping[str, Any]) -> KeyRecord:
        key_id = reading.key_id(item.get("AccessKeyId"))
        if not key_id:
            raise PermanentError(
                "IAM lists an access key without an id", "is the endpoint's address right?"
            )
        used = self.iam("get_access_key_last_used", safe=True, AccessKeyId=key_id)
        last = used.get("AccessKeyLastUsed", {}).get("LastUsedDate")
        return KeyRecord(
            key_id,
            hint=hint_of(key_id),
            created_at=reading.moment(item.get("CreateDate")),
            last_used_at=reading.last_use(last),
            active=item.get("Status") == "Active",
        )

    def deactivate(self, credential: Credential) -> None:
        self._switch(credential, "Inactive")

    def reactivate(self, credential: Credential) -> None:
        self._switch(credential, "Active")

    def _switch(self, credential: Credential, status: str) -> None:
        wanted = {"AccessKeyId": _id(credential), "Status": status, **self._of_user()}
        self.iam("update_access_key", safe=True, **wanted)

    def revoke(self, credential: Credential) -> None:
        try:
            wanted = {"AccessKeyId": _id(credential), **self._of_user()}
            self.iam("delete_access_key", safe=True, **wanted)
        except NotFound:
            return

    def probe(self, credential: Credential) -> Identity:
        """sts:GetCallerIdentity, which needs no permission."""
        secret = credential.values.get("secret_access_key")
        if secret is None:
            raise Unsupported("the secret access key is not known")
        signing = Account(
            self.region, self.endpoint_url, access_key_id=_id(credential), secret_access_key=secret
        )
        try:
            who = aws.call(signing, "sts", "get_caller_identity", safe=True)
        except AccessDenied as error:
            if any(code in error.message for code in _REFUSED):
                raise Rejected(f"AWS refuses the key: {error.message}") from error
            raise
        return Identity({"account": str(who.get("Account", "")), "user": str(who.get("Arn", ""))})

    def signs(self) -> str:
        return ascii_letters + digits + "/+="

    def looks_right(self, value: Secret) -> str:
        return (
            ""
            if re.fullmatch(r"[A-Za-z0-9/+=]{40}", value.reveal())
            else "a secret access key has 40 characters"
        )


def _id(credential: Credential) -> str:
    if not credential.id:
        raise PermanentError("the access key's id is not known", "`rotator adopt` it with its id")
    return credential.id
