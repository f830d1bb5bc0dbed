"""Who signs what is asked of IAM about keys: one principal, and a second where the first is denied.

When AWS finds a leaked access key, it attaches the policy AWSCompromisedKeyQuarantineV3 to its
user, which denies, among others, iam:CreateAccessKey: the very call that replaces the key. Source:
AWS Managed Policy Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rotator.errors import AccessDenied
from rotator.integrations.aws import client as aws
from rotator.integrations.aws.client import Account, AwsConnection
from rotator.model import Finding, Level
from rotator.plugin import setting
from rotator.reference import Reference

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AwsPrincipals(AwsConnection):
    """The settings of whoever makes and ends keys."""

    second_credentials: Mapping[str, Reference] | None = setting(
        "access_key_id and secret_access_key of another user, as references: they sign where the"
        " first are denied, as those of a leaked key are, by AWS's own policy",
        default=None,
        connection=True,
    )

    def as_first_or_second(self, ask: Callable[[Account], T]) -> T:
        """Asks as the first principal, and as the second where that one is denied: then nothing
        was done.
        """
        try:
            return ask(self.account)
        except AccessDenied:
            if self.second_credentials is None:
                raise
            return ask(self._second(self.second_credentials))

    def iam(self, operation: str, *, safe: bool, **parameters: Any) -> dict[str, Any]:
        """One request to IAM, as `client.call`."""
        return self.as_first_or_second(
            lambda account: aws.call(account, "iam", operation, safe=safe, **parameters)
        )

    def about_signing(self, itself: bool, ask: Callable[[Account], object]) -> list[Finding]:
        """What is to be known of who signs. `itself`: with a key of the user whose key is rotated;
        `ask` lists its keys. Raises what it raises for the second principal.
        """
        if self.second_credentials is not None:
            ask(self._second(self.second_credentials))
            return [Finding(Level.OK, "a second principal can sign")]
        if not itself:
            return []
        return [
            Finding(
                Level.WARNING,
                "rotator signs with a key of the user whose key it rotates: once AWS has seen that"
                " one leaked, it denies its user just this (AWSCompromisedKeyQuarantine)",
                "name another user that may do it: second_credentials",
            )
        ]

    def _second(self, given: Mapping[str, Reference]) -> Account:
        found = {name: reference.resolve() for name, reference in given.items()}
        key_id = found["access_key_id"].reveal() if "access_key_id" in found else None
        return replace(
            self.account,
            profile=None,
            role_arn=None,
            access_key_id=key_id,
            secret_access_key=found.get("secret_access_key"),
            session_token=found.get("session_token"),
        )
