"""Store `aws-ssm`: a SecureString of the Parameter Store, as a whole or a field of a JSON object.

Source: Systems Manager API reference (GetParameter, PutParameter). PutParameter takes no expected version: a write is
compared before and after, not with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from rotator.clients import aws
from rotator.clients.aws import AwsConnection
from rotator.errors import ConfigError, Conflict, NotFound, PermanentError
from rotator.model import Credential, Finding, Held, Level, Note, single
from rotator.plugin import setting

_SERVICE = "ssm"


@dataclass(frozen=True, kw_only=True)
class AwsSsmStore(AwsConnection):
    """Keep a key in a parameter of AWS Systems Manager: the whole value, or one field of a JSON object.

    Type, KMS key and tier stay. Consumers that read a fixed `NAME:VERSION` keep the old key: read NAME.
    """

    parameter: str = setting("Name of the parameter, for instance /paracle/openai")
    key: str | None = setting("Field of the JSON object; without it the value is the key", default=None)

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
        return aws.call(self.account, _SERVICE, operation, safe=safe, Name=self.parameter, **parameters)

    def _get(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._call("get_parameter", WithDecryption=True)["Parameter"]
        except NotFound:
            return None
        return found

    def preflight(self) -> list[Finding]:
        told = [Finding(Level.WARNING, f"{self.name}: the Parameter Store cannot compare and set", "one writer only")]
        found = self._get()
        if found is None:
            hint = f"aws ssm put-parameter --type SecureString --name {self.parameter} --value …"
            told.append(Finding(Level.ERROR, f"{self.name} does not exist", hint))
        elif found["Type"] != "SecureString":
            text = f"{self.name} is a {found['Type']}: everybody who may describe it reads the key"
            told.append(Finding(Level.WARNING, text, "make it a SecureString"))
        return told

    def read(self) -> Held | None:
        found = self._get()
        text = self._text(found["Value"]) if found is not None else ""
        if found is None or not text:
            return None
        written: Any = found.get("LastModifiedDate")
        at = float(written.timestamp()) if written is not None else None
        return Held(single(text).values, str(found["Version"]), written_at=at)

    def _text(self, value: str) -> str:
        return str(self._object(value).get(self.key) or "") if self.key else value.strip()

    def _object(self, value: str) -> dict[str, Any]:
        try:
            held = json.loads(value or "{}")
        except ValueError:
            held = None
        if not isinstance(held, dict):
            raise PermanentError(f"{self.name} is not a JSON object", "leave `key` out to keep the key as the whole")
        return held

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        found = self._get()
        if found is None:
            raise NotFound(f"{self.name} does not exist", "aws ssm put-parameter makes it")
        if expect != (str(found["Version"]) if self._text(found["Value"]) else ""):
            raise Conflict(f"{self.name} was changed by somebody else")
        value = credential.primary.reveal()
        if self.key:
            value = json.dumps({**self._object(found["Value"]), self.key: value}, ensure_ascii=False)
        made = self._call("put_parameter", safe=False, Value=value, Type=found["Type"], Overwrite=True)
        return str(made["Version"])

    def retire(self, version: str) -> None:
        """Old versions go by themselves: the Parameter Store keeps a hundred."""

    def tidy(self, expect: str) -> None:
        """One request writes all: nothing is left by an interrupted one."""
