"""The grammar of a playbook's own keys. Plugins bring the grammar of their settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rotator.core.plan import Policy
from rotator.durations import Duration
from rotator.model import Evidence
from rotator.playbook.schedule import check_cron

# Keys of later versions: refused as such, never ignored.
NOT_YET = {"group", "approval", "notify", "monitor", "pool", "seen", "window", "blackout", "jitter"}


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Schedule(Model):
    """When it is due: `every` counts from the moment at which the last success was due, or was
    begun by hand.

    A key that its provider lets end earlier makes it due after two thirds of that key's life.
    """

    every: Duration | None = Field(None, description="How often, for instance 30d")
    cron: str | None = Field(
        None,
        description=(
            "Five fields as in crontab(5), UTC: 0 and 7 = Sunday; of two day fields either is"
            " enough"
        ),
    )

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None:
            check_cron(value)
        return value

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if (self.every is None) == (self.cron is None):
            raise ValueError("a schedule has either `every` or `cron`")
        if self.every is not None and self.every < 60:
            raise ValueError("a schedule cannot be shorter than a minute")
        return self


class Revoke(Model):
    """How the old key goes."""

    grace: Duration = Field(
        86_400.0, description="How long the old key lives on after verification"
    )
    quiet: Duration = Field(
        3_600.0, description="How long it must not have been used, where the provider tells"
    )
    quiet_deadline: Duration = Field(604_800.0, description="Not quiet after this: needs attention")
    soak: Duration = Field(
        600.0, description="How long it stays deactivated before it is destroyed"
    )
    watch: Duration = Field(3_600.0, description="How long the probes are watched afterwards")


class Limits(Model):
    """How patient a rotation is."""

    step: Duration = Field(600.0, description="Deadline of each step")
    passes: int = Field(
        3,
        ge=1,
        le=100,
        strict=True,
        description=(
            "Times in a row that the new key must be accepted: before the first store; and again"
            " from the restart on, the last time by all probes"
        ),
    )
    pass_interval: Duration = Field(1.0, description="Pause between them")
    list_lag: Duration | None = Field(
        None, description="How long the provider's listing may lag; its own by default"
    )


class Shape(Model):
    """A playbook, before its plugins are looked at."""

    description: str = ""
    owner: str = ""
    tags: list[str] = []
    schedule: Schedule | None = None
    max_age: Duration | None = Field(None, description="Overdue after this")
    generate: dict[str, Any] = Field(description="The provider: `uses` and its settings")
    store: list[dict[str, Any]] = Field(
        min_length=1, description="Stores: `uses` and settings each"
    )
    restart: list[dict[str, Any]] = Field([], description="Restarters, in order")
    evidence: Evidence = Field(
        Evidence.STARTED, description="What each consumer must show at least"
    )
    verify: list[dict[str, Any]] = Field([{"uses": "provider"}], description="Probes")
    revoke: Revoke = Revoke()
    limits: Limits = Limits()
    allow_downtime: bool = Field(
        False, description="Accept a provider whose new key kills the old one at once"
    )
    for_each: list[dict[str, Any]] | None = Field(
        None, description="One playbook for each; {name} is filled in"
    )

    @field_validator("store", "restart", "verify", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    def policy(self, list_lag: float, propagation: float, revocation: float) -> Policy:
        """The patience of a rotation by this playbook."""
        return Policy(
            deadline=self.limits.step,
            grace=self.revoke.grace,
            quiet=self.revoke.quiet,
            quiet_deadline=self.revoke.quiet_deadline,
            soak=self.revoke.soak,
            watch=self.revoke.watch,
            list_lag=self.limits.list_lag if self.limits.list_lag is not None else list_lag,
            propagation=propagation,
            revocation=revocation,
            passes=self.limits.passes,
            pass_interval=self.limits.pass_interval,
        )
