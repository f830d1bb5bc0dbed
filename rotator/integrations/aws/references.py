"""References {aws-sm: NAME#FIELD} and {aws-ssm: NAME}; who signs comes from the environment, as
boto3 does it.

Sources: Secrets Manager API reference (GetSecretValue), Systems Manager API reference
(GetParameter).
"""

from __future__ import annotations

from rotator.clients import json_text
from rotator.clients.json_text import NoText
from rotator.errors import NotFound, PermanentError
from rotator.integrations.aws import client as aws


def secret(where: str | tuple[str, ...]) -> str:
    """`NAME` or `NAME#FIELD` in Secrets Manager."""
    name, _, field = str(where).partition("#")
    found = aws.call(
        aws.Account(),
        "secretsmanager",
        "get_secret_value",
        safe=True,
        SecretId=name,
        VersionStage="AWSCURRENT",
    )
    text = str(found.get("SecretString") or "")
    if not field:
        return text
    try:
        held = json_text.get(text, field)
    except NoText as error:
        raise PermanentError(
            f"{name} {error}", "a credential is a text in a JSON object"
        ) from error
    if not held:
        raise NotFound(f"{name} has no field {field}", "is it a JSON object with that name?")
    return held


def parameter(where: str | tuple[str, ...]) -> str:
    """`NAME` in the parameter store of SSM, decrypted."""
    found = aws.call(
        aws.Account(), "ssm", "get_parameter", safe=True, Name=str(where), WithDecryption=True
    )
    return str(found["Parameter"]["Value"])
