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
from rotator.plugin import Address, setting

_SERVICE = "ssm"
Parameter = Mapping[str, Any]  # as boto3 has it
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
    def writes(self) -> Address:
        """For a restarter that must know who takes a fixed version of it."""
        return Address("aws", self.parameter)

    def _call(self, operation: str, *, safe: bool = True, **parameters: Any) -> dict[str, Any]:
        return aws.call(
            self.account, _SERVICE, operation, safe=safe, Name=self.parameter, **parameters
        )

    def _get(self) -> Parameter | None:
        try:
            parameter: Parameter = self._call("get_parameter", WithDecryption=True)["Parameter"]
        except NotFound:
            return None
        return parameter

    def preflight(self) -> list[Finding]:
        findings: list[Finding] = []
        parameter = self._get()
        if parameter is None:
            hint = f"aws ssm put-parameter --type SecureString --name {self.parameter} --value …"
            findings.append(Finding(Level.ERROR, f"{self.name} does not exist", hint))
            return findings
        if parameter["Type"] != "SecureString":
            text = (
                f"{self.name} is a {parameter['Type']}: everybody who may describe it reads the key"
            )
            findings.append(Finding(Level.WARNING, text, "make it a SecureString"))
        if str(parameter["Name"]).startswith("arn:"):
            hint = "who shares it must rotate it, in its own account"
            findings.append(
                Finding(
                    Level.ERROR,
                    f"{self.name} is shared by another account: it is only read here",
                    hint,
                )
            )
            return findings
        findings += self._ending(self._described(parameter))
        with contextlib.suppress(PermanentError):  # reported when it is read
            findings += around.accidents(self.name, self._text(parameter["Value"]))
        return findings

    def _ending(self, described: Parameter) -> Iterator[Finding]:
        """A policy that deletes the parameter: a new version does not put that off."""
        for policy in described.get("Policies") or ():
            if policy.get("PolicyType") == "Expiration":
                moment = re.search(r'"Timestamp"\s*:\s*"([^"]+)"', str(policy.get("PolicyText")))
                when = f" at {moment[1]}" if moment else ""
                text = f"{self.name} is deleted by its own policy{when}"
                hint = (
                    "the new key goes with it: `aws ssm put-parameter --policies '[]'` takes the"
                    " policy off"
                )
                yield Finding(Level.WARNING, text, hint)

    def _described(self, parameter: Parameter) -> Parameter:
        """What PutParameter must be told again.

        Raises AccessDenied where we may see it in neither way.
        """
        name = str(parameter["Name"])
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
        described: Parameter = listed[-1]
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
            words = (
                f"we may not see which KMS key and tier {self.name} has; without, AWS would take"
                " others"
            )
            raise AccessDenied(
                words, f"allow ssm:GetParameterHistory for {name}, or ssm:DescribeParameters"
            ) from error

    def read(self) -> Held | None:
        parameter = self._get()
        text = self._key(parameter) if parameter is not None else ""
        if parameter is None or not text:
            return None
        written: Any = parameter.get("LastModifiedDate")
        at = float(written.timestamp()) if written is not None else None
        return Held(single(text).values, str(parameter["Version"]), written_at=at)

    def _key(self, parameter: Parameter) -> str:
        return around.bare(self._text(parameter["Value"]))

    def _text(self, value: str) -> str:
        try:
            return json_text.get(value, self.key) if self.key else value
        except NoText as error:
            raise PermanentError(
                f"{self.name} {error}", "leave `key` out to keep the key as the whole"
            ) from error

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        parameter = self._get()
        if parameter is None:
            raise NotFound(f"{self.name} does not exist", "aws ssm put-parameter makes it")
        if expect != (str(parameter["Version"]) if self._key(parameter) else ""):
            raise Conflict(f"{self.name} was changed by somebody else")
        value = around.like(self._text(parameter["Value"]), credential.primary.reveal())
        if self.key:
            value = json_text.put(parameter["Value"], self.key, value)
        described = self._described(parameter)
        kept = {name: described[name] for name in _KEPT if described.get(name)}
        given = {
            "Name": parameter["Name"],
            "Value": value,
            "Type": parameter["Type"],
            "Overwrite": True,
        }
        made = aws.call(self.account, _SERVICE, "put_parameter", safe=False, **given, **kept)
        return str(made["Version"])

    def retire(self, version: str) -> None:
        """Old versions go by themselves: the Parameter Store keeps a hundred."""

    def tidy(self, expect: str) -> None:
        """One request writes all: nothing is left by an interrupted one."""
