"""References {aws-sm: NAME#FIELD} and {aws-ssm: NAME}; who signs comes from the environment, as boto3 does it."""

from __future__ import annotations

import json

from rotator.clients import aws
from rotator.errors import NotFound


def secret(where: str | tuple[str, ...]) -> str:
    """`NAME` or `NAME#FIELD` in Secrets Manager."""
    name, _, field = str(where).partition("#")
    found = aws.call(
        aws.Account(), "secretsmanager", "get_secret_value", safe=True, SecretId=name, VersionStage="AWSCURRENT"
    )
    text = str(found.get("SecretString") or "")
    if not field:
        return text
    try:
        return str(json.loads(text)[field])
    except (ValueError, KeyError, TypeError) as error:
        raise NotFound(f"{name} has no field {field}", "is it a JSON object with that name?") from error


def parameter(where: str | tuple[str, ...]) -> str:
    """`NAME` in the parameter store of SSM, decrypted."""
    found = aws.call(aws.Account(), "ssm", "get_parameter", safe=True, Name=str(where), WithDecryption=True)
    return str(found["Parameter"]["Value"])
