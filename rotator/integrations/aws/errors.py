"""What an error of boto3 means: whether anything may have happened, and what helps.

Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html (codes of all
services), the `Errors` sections of the operations used, and botocore/exceptions.py.
"""

from __future__ import annotations

from typing import Any

from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    QuotaExceeded,
    RotatorError,
    TransientError,
)
from rotator.secret import redact

_MAKES_KEY = ("iam:create_access_key", "iam:create_service_specific_credential")
_BUSY = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"}
_BROKEN = {
    "InternalFailure",
    "InternalServiceError",
    "ServiceFailure",
    "InternalError",
    "RequestTimeout",
}
_BROKEN |= {"ServiceUnavailable"}  # also said by what stands before a server that was at work
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_GONE = {
    "ClusterNotFoundException",
    "NoSuchEntity",
    "ParameterNotFound",
    "ResourceNotFoundException",
    "ServiceNotFoundException",
}


def translated(error: Exception, what: str, safe: bool) -> RotatorError:
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        return _of_code(error, what, safe)
    # What boto says of an answer that it cannot parse quotes it, and it may hold a key.
    ours_to_show = isinstance(error, boto.BotoCoreError) and not isinstance(
        error, ResponseParserError
    )
    useless = f"no use can be made of the answer ({type(error).__name__})"
    words = f"{what}: {redact(str(error)) if ours_to_show else useless}"
    if isinstance(
        error,
        boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError,
    ):
        return AccessDenied(
            words,
            "AWS_ACCESS_KEY_ID, a profile, or the machine's role: `aws sts get-caller-identity`",
        )
    if isinstance(error, boto.ProfileNotFound):
        return AccessDenied(words, "`aws configure list-profiles` shows those that there are")
    if isinstance(error, boto.NoRegionError):
        return ConfigError(words, "say `region:` in the playbook, or AWS_DEFAULT_REGION")
    if isinstance(
        error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError
    ):
        return TransientError(words, "is the endpoint right, and reachable?")
    if isinstance(error, boto.HTTPClientError | ResponseParserError):
        return TransientError(words) if safe else OutcomeUnknown(words)
    if not safe and (
        isinstance(error, boto.IncompleteReadError) or not isinstance(error, boto.BotoCoreError)
    ):
        return OutcomeUnknown(
            words
        )  # raised over an answer; what is wrong with a request is a BotoCoreError
    return PermanentError(words)


def _of_code(error: Any, what: str, safe: bool) -> RotatorError:
    details = error.response.get("Error", {})
    code, status = (
        str(details.get("Code", "")),
        error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
    )
    words = f"{what}: {code}: {redact(str(details.get('Message', '')))}"
    if what in _MAKES_KEY:  # nothing of the answer: the new key may stand in it
        known = code in (*_DENIED, *_GONE, *_BUSY, *_BROKEN, "LimitExceeded")
        words = f"{what}: {code if known else f'an error ({status})'}"
    if code in _DENIED or status in (401, 403):
        return AccessDenied(
            words, "which identity signs? `aws sts get-caller-identity`; which action does it lack?"
        )
    if code in _GONE:
        return NotFound(words)
    if code == "LimitExceeded":
        return QuotaExceeded(words, "delete a key that nobody needs")
    if code in (
        "ResourceExistsException",
        "ConcurrentModification",
        "ConcurrentModificationException",
    ):
        return Conflict(words)
    if code in _BUSY:
        return TransientError(words)
    if code in _BROKEN or status >= 500:
        return TransientError(words) if safe else OutcomeUnknown(words)
    return PermanentError(words)
