"""Store `aws-ssm`: a SecureString of the Parameter Store, as a whole or a field of a JSON object.

Source: Systems Manager API reference (GetParameter, PutParameter). PutParameter takes no expected
version: a write is compared before and after, not with it. A KMS key, a tier or a data type that it
is not told are those by default, not those that the parameter has.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotator.clients import around, json_text
from rotator.clients.json_text import NoText
from rotator.errors import AccessDenied, ConfigError, Conflict, NotFound, PermanentError
from rotator.integrations.aws import client as aws
from rotator.integrations.aws.client import AwsConnection
from rotator.model import Credential, Finding, Held, Level, Note, single
from rotator.plugin import setting

_SERVICE = "ssm"
_KEPT = ("KeyId", "Tier", "DataType", "Description", "AllowedPattern")


@dataclass(frozen=True, kw_only=True)
class AwsSsmStore(AwsConnection):
    """Keep a key in a parameter of AWS Systems Manager: the whole value, or one field of a JSON
    object.

    Type, KMS key, tier, data type, description and pattern stay. Consumers that read a fixed
    `NAME:VERSION` keep the old key: read NAME.
    """

    parameter: str = setting("Name of the parameter, for instance /paracle/openai")
    key: str | None = setting(
        "Field of the JSON object; without it the value is the key", default=None
    )

    compare_and_set = False
    write_only = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(arn:[\w-]+:ssm:[\w-]*:\d*:parameter/)?[\w./-]+", self.parameter):
            hint = "a name or an ARN alone, without a version or label: a rotation makes versions"
            raise ConfigError(f"'{self.parameter}' is no parameter's name", hint)

    @property
    def name(self) -> str:
        return f"aws-ssm {self.parameter}" + (f"#{self.key}" if self.key else "")

    @property
    def aws_secret(self) -> str:
        """For a restarter that must know who takes a fixed version of it."""
        return self.parameter

    def _call(self, operation: str, *, safe: bool = True, **parameters: Any) -> dict[str, Any]:
        return aws.call(
            self.account, _SERVICE, operation, safe=safe, Name=self.parameter, **parameters
        )

    def _get(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._call("get_parameter", WithDecryption=True)["Parameter"]
        except NotFound:
            return None
        return found

    def preflight(self) -> list[Finding]:
        told = [
            Finding(
                Level.WARNING,
                f"{self.name}: the Parameter Store cannot compare and set",
                "one writer only",
            )
        ]
        found = self._get()
        if found is None:
            hint = f"aws ssm put-parameter --type SecureString --name {self.parameter} --value …"
            told.append(Finding(Level.ERROR, f"{self.name} does not exist", hint))
            return told
        if found["Type"] != "SecureString":
            text = f"{self.name} is a {found['Type']}: everybody who may describe it reads the key"
            told.append(Finding(Level.WARNING, text, "make it a SecureString"))
        if str(found["Name"]).startswith("arn:"):
            hint = "who shares it must rotate it, in its own account"
            told.append(
                Finding(
                    Level.ERROR,
                    f"{self.name} is shared by another account: it is only read here",
                    hint,
                )
            )
            return told
        told += self._ending(self._described(found))
        with contextlib.suppress(PermanentError):  # told when it is read
            told += around.accidents(self.name, self._text(found["Value"]))
        return told

    def _ending(self, described: Mapping[str, Any]) -> Iterator[Finding]:
        """A policy that deletes the parameter: a new version does not put that off."""
        for policy in described.get("Policies") or ():
            if policy.get("PolicyType") == "Expiration":
                found = re.search(r'"Timestamp"\s*:\s*"([^"]+)"', str(policy.get("PolicyText")))
                text = (
                    f"{self.name} is deleted by its own policy{f' at {found[1]}' if found else ''}"
                )
                hint = (
                    "the new key goes with it: `aws ssm put-parameter --policies '[]'` takes the"
                    " policy off"
                )
                yield Finding(Level.WARNING, text, hint)

    def _described(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """What PutParameter must be told again.

        Raises AccessDenied where we may see it in neither way.
        """
        name = str(found["Name"])
        try:
            only = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
            listed = aws.pages(
                self.account, _SERVICE, "describe_parameters", "Parameters", ParameterFilters=only
            )
        except AccessDenied:
            listed = self._history(name)
        if not listed:
            raise NotFound(
                f"{self.name} is not described",
                f"aws ssm describe-parameters shows {name} to whom?",
            )
        described: Mapping[str, Any] = listed[-1]
        return described

    def _history(self, name: str) -> list[Any]:
        """As the history of its versions tells it, which a policy can allow for one parameter
        alone.
        """
        try:
            return aws.pages(
                self.account, _SERVICE, "get_parameter_history", "Parameters", Name=name
            )
        except AccessDenied as error:
            told = (
                f"we may not see which KMS key and tier {self.name} has; without, AWS would take"
                " others"
            )
            raise AccessDenied(
                told, f"allow ssm:GetParameterHistory for {name}, or ssm:DescribeParameters"
            ) from error

    def read(self) -> Held | None:
        found = self._get()
        text = self._key(found) if found is not None else ""
        if found is None or not text:
            return None
        written: Any = found.get("LastModifiedDate")
        at = float(written.timestamp()) if written is not None else None
        return Held(single(text).values, str(found["Version"]), written_at=at)

    def _key(self, found: Mapping[str, Any]) -> str:
        return around.bare(self._text(found["Value"]))

    def _text(self, value: str) -> str:
        try:
            return json_text.get(value, self.key) if self.key else value
        except NoText as error:
            raise PermanentError(
                f"{self.name} {error}", "leave `key` out to keep the key as the whole"
            ) from error

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        found = self._get()
        if found is None:
            raise NotFound(f"{self.name} does not exist", "aws ssm put-parameter makes it")
        if expect != (str(found["Version"]) if self._key(found) else ""):
            raise Conflict(f"{self.name} was changed by somebody else")
        value = around.like(self._text(found["Value"]), credential.primary.reveal())
        if self.key:
            value = json_text.put(found["Value"], self.key, value)
        described = self._described(found)
        kept = {name: described[name] for name in _KEPT if described.get(name)}
        given = {"Name": found["Name"], "Value": value, "Type": found["Type"], "Overwrite": True}
        made = aws.call(self.account, _SERVICE, "put_parameter", safe=False, **given, **kept)
        return str(made["Version"])

    def retire(self, version: str) -> None:
        """Old versions go by themselves: the Parameter Store keeps a hundred."""

    def tidy(self, expect: str) -> None:
        """One request writes all: nothing is left by an interrupted one."""
