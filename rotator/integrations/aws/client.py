"""The one door to AWS: boto3, imported late; clients made anew for each call, so that changed
credentials are seen.

Endpoints, profiles, regions and roles as users of boto3 expect: what a playbook does not say comes
from the environment, ~/.aws, or the machine's role. Retries are the engine's: boto3 sends once.
Source: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/configuration.html (and
guide/credentials.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from rotator import deadline, installed
from rotator.clients import programs
from rotator.errors import (
    ConfigError,
    OutcomeUnknown,
    RotatorError,
    TransientError,
)
from rotator.integrations.aws import PLUGINS
from rotator.integrations.aws.errors import translated
from rotator.plugin import setting
from rotator.reference import Reference
from rotator.secret import Secret

_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Account:
    """Whose credentials sign, and where to: all optional, as in boto3."""

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    role_arn: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None


@dataclass(frozen=True, kw_only=True)
class AwsConnection:
    """The settings that every plugin of AWS has: where to, and who signs."""

    region: str | None = setting("AWS region", default=None, connection=True)
    endpoint_url: str | None = setting(
        "Address of the API, for a private endpoint", default=None, connection=True
    )
    profile: str | None = setting("Profile of ~/.aws that signs", default=None, connection=True)
    role_arn: str | None = setting("Role to assume before each call", default=None, connection=True)
    credentials: Mapping[str, Reference] | None = setting(
        "access_key_id and secret_access_key that sign, as references; read again at each call, so"
        " they may be the very key that is rotated, where a store puts it",
        default=None,
        connection=True,
    )

    @property
    def account(self) -> Account:
        """Who signs now: `credentials` are resolved at each call."""
        given = {name: reference.resolve() for name, reference in (self.credentials or {}).items()}
        key_id = given["access_key_id"].reveal() if "access_key_id" in given else None
        secret, token = given.get("secret_access_key"), given.get("session_token")
        return Account(
            self.region, self.endpoint_url, self.profile, self.role_arn, key_id, secret, token
        )


def _sdk() -> Any:
    """boto3, imported when a playbook needs it. Raises ConfigError where it is not installed."""
    try:
        import boto3
    except ModuleNotFoundError as error:
        raise ConfigError("AWS needs boto3", installed.way_to(PLUGINS.extra)) from error
    deadline.watch_connections()
    _through_our_door()
    return boto3


@cache
def _through_our_door() -> None:
    """A profile's `credential_process` is a program like any other."""
    from botocore import credentials

    class Process(credentials.ProcessProvider):  # type: ignore[misc]
        def __init__(
            self, profile_name: Any, load_config: Any, popen: Any = programs.LikePopen
        ) -> None:
            super().__init__(profile_name, load_config, popen)

    credentials.ProcessProvider = Process


def session(account: Account) -> Any:
    """A boto3 session. Raises ConfigError without boto3."""
    boto3 = _sdk()
    import botocore.session

    inner = botocore.session.get_session()
    inner.register_component("data_loader", _loader())
    return boto3.Session(
        botocore_session=inner,
        aws_access_key_id=account.access_key_id,
        aws_secret_access_key=(
            account.secret_access_key.reveal() if account.secret_access_key else None
        ),
        aws_session_token=account.session_token.reveal() if account.session_token else None,
        profile_name=account.profile,
        region_name=account.region,
    )


@cache
def _loader() -> Any:
    """Reading the descriptions of AWS's services is most of what a new session costs: once is
    enough.
    """
    import botocore.session

    return botocore.session.get_session().get_component("data_loader")


def call(
    account: Account, service: str, operation: str, /, *, safe: bool, **parameters: Any
) -> dict[str, Any]:
    """One request, sent once, in 30 s with its credentials. `safe`: it may be sent twice.

    Raises TransientError (nothing happened), OutcomeUnknown (an unsafe one may have), AccessDenied,
    NotFound, Conflict, QuotaExceeded, PermanentError, ConfigError, LeaseLost.
    """
    what, sending = f"{service}:{operation}", False

    def send() -> dict[str, Any]:
        nonlocal sending
        client = _client(account, service)
        deadline.check()
        sending = True
        try:
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except RotatorError:
            raise
        except Exception as error:
            raise _told(error, what, safe) from error
        return answer

    try:
        return deadline.bounded(deadline.CALL if safe else deadline.remaining(), send)
    except TimeoutError as error:
        raise (OutcomeUnknown if sending and not safe else TransientError)(
            f"{what}: {error}"
        ) from error


def pages(
    account: Account, service: str, operation: str, field: str, /, **parameters: Any
) -> list[Any]:
    """All items of a listing."""
    what, items = f"{service}:{operation}", list[Any]()
    in_time = deadline.listing(what)
    try:
        client = deadline.bounded(deadline.CALL, lambda: _client(account, service))
        each = iter(client.get_paginator(operation).paginate(**parameters))
        while True:
            in_time()
            page = deadline.bounded(deadline.CALL, lambda: next(each, None))
            if page is None:
                return items
            items += page[field]
    except RotatorError:
        raise
    except TimeoutError as error:
        raise TransientError(f"{what}: {error}") from error
    except Exception as error:
        raise _told(error, what, True) from error


def _told(error: Exception, what: str, safe: bool) -> RotatorError:
    """Our own error, which boto has wrapped, or what its own means."""
    wrapped = getattr(error, "kwargs", {}).get("error")
    return wrapped if isinstance(wrapped, RotatorError) else translated(error, what, safe)


def _client(account: Account, service: str) -> Any:
    _sdk()
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    seconds = deadline.remaining(_TIMEOUT)
    config = Config(
        connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1}
    )
    try:
        here = session(account)
        if account.role_arn and service != "sts":
            here = _assumed(here, account)
        # IAM has one endpoint for the world; its client wants some region all the same
        region = here.region_name or ("us-east-1" if service in ("iam", "sts") else None)
        return here.client(
            service, endpoint_url=account.endpoint_url, config=config, region_name=region
        )
    except BotoCoreError as error:
        raise translated(error, service, True) from error


def _assumed(here: Any, account: Account) -> Any:
    """A session of the role, for this call."""
    answer = call(
        replace(account, role_arn=None),
        "sts",
        "assume_role",
        safe=True,
        RoleArn=account.role_arn,
        RoleSessionName="rotator",
    )
    keys = answer["Credentials"]
    return _sdk().Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        region_name=account.region or here.region_name,
    )
