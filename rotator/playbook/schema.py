"""The grammar of a playbook's own keys. Plugins bring the grammar of their settings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from rotator.core.plan import Policy
from rotator.durations import Duration
from rotator.model import Evidence
from rotator.plugin.channel import ASKED, USUAL, Kind
from rotator.schedules import blackouts, cron, rules, windows, zones
from rotator.schedules.opening import Opening

ANY_NODE = "*"
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# Keys of later versions: refused as such, never ignored.
NOT_YET = {"approval", "seen"}


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


When = Annotated[
    str,
    WithJsonSchema({"type": "string", "examples": ["2026-12-24", "2026-12-24T18:00"]}),
]


class Blackout(Model):
    """A time that comes once; or all events of a calendar."""

    from_: When | None = Field(None, alias="from", description="Its first day, or moment")
    to: When | None = Field(None, description="Its last day, or the moment at which it is over")
    calendar: str | None = Field(
        None, description="A file of iCalendar: nothing begins during its events"
    )

    @model_validator(mode="after")
    def _one(self) -> Blackout:
        blackouts.of_entries([self.entry], "UTC")
        return self

    @property
    def entry(self) -> dict[str, str]:
        """As it was written."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Schedule(Model):
    """When it is due: `every` counts from the moment at which the last success was due, or was
    begun by hand.

    A key that its provider lets end earlier makes it due after two thirds of that key's life.
    """

    every: Duration | None = Field(None, description="How often, for instance 30d")
    cron: str | None = Field(
        None,
        description=(
            "Five fields as in crontab(5): 0 and 7 = Sunday; of two day fields either is enough"
        ),
    )
    timezone: str = Field(
        "UTC", description="Whose wall clock `cron`, `window` and `blackout` mean: Europe/Berlin"
    )
    window: tuple[str, ...] = Field(
        (), description="When a timer may begin it, for instance [mon-fri 09:00-17:00]"
    )
    blackout: tuple[str | Blackout, ...] = Field(
        (),
        description=(
            "When it may not: [fri 16:00-24:00, {from: 2026-12-20, to: 2027-01-03},"
            " {calendar: freeze.ics}]"
        ),
    )
    jitter: Duration = Field(
        0.0, description="Spread playbooks of one schedule: each is later by its own part of this"
    )
    not_before: When | None = Field(None, description="No timer begins it before that day")
    max_overdue: Duration | None = Field(
        None, description="Due for so long, no window holds it back any more"
    )

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None:
            cron.check_cron(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        zones.check(value)
        return value

    @field_validator("window", "blackout", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else [value]

    @field_validator("window")
    @classmethod
    def _window(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            windows.window(one)
        return value

    @field_validator("blackout")
    @classmethod
    def _blackout(cls, value: tuple[str | Blackout, ...]) -> tuple[str | Blackout, ...]:
        blackouts.of_entries([one for one in value if isinstance(one, str)], "UTC")
        return value

    @field_validator("not_before")
    @classmethod
    def _not_before(cls, value: str | None) -> str | None:
        if value is not None:
            windows.moment(value, "UTC")
        return value

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if (self.every is None) == (self.cron is None):
            raise ValueError("a schedule has either `every` or `cron`")
        if self.every is not None and self.every < 60:
            raise ValueError("a schedule cannot be shorter than a minute")
        if self.max_overdue is not None and not self.window:
            raise ValueError("`max_overdue` is about a `window`, and there is none")
        if self.every is not None and self.jitter >= self.every:
            raise ValueError("`jitter` must be shorter than `every`")
        weekly = blackouts.of_entries(
            (one for one in self.blackout if isinstance(one, str)), self.timezone
        )
        if self._opening(weekly).opens(0.0) is None:
            raise ValueError("its blackouts leave nothing open: it would never begin")
        return self

    @property
    def entries(self) -> list[blackouts.Entry]:
        """As they were written."""
        return [one if isinstance(one, str) else one.entry for one in self.blackout]

    def _opening(self, closed: tuple[blackouts.Blackout, ...]) -> Opening:
        return Opening(self.timezone, tuple(map(windows.window, self.window)), closed)

    def rules(
        self, playbook: str, max_age: float | None, others: tuple[blackouts.Blackout, ...] = ()
    ) -> rules.Rules:
        """For the playbook of this name. `others`: what holds it back besides its own blackouts
        that are written out.
        """
        return rules.Rules(
            every=self.every,
            cron=self.cron,
            zone=self.timezone,
            opening=self._opening((*blackouts.of_entries(self.entries, self.timezone), *others)),
            phase=rules.phase(playbook, self.jitter),
            not_before=(windows.moment(self.not_before, self.timezone) if self.not_before else 0.0),
            max_age=max_age,
            max_overdue=self.max_overdue,
        )

    @property
    def text(self) -> str:
        """All of it as one text: another text means another schedule."""
        usual = self.cron or f"every {self.every:g}"
        more = self.model_dump(exclude={"every", "cron"}, exclude_defaults=True, mode="json")
        return " ".join([usual, *(f"{name}={value}" for name, value in more.items())])


class Told(Model):
    """Of what an entry of `notify` is told."""

    when: tuple[Kind, ...] = Field(USUAL, description=f"Of what: any of {', '.join(ASKED)}")
    before: Duration | None = Field(
        None, description="Also so long before the key is due or ends, for instance 7d"
    )

    @field_validator("when", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        several = value if isinstance(value, list | tuple) else [value]
        for one in several:
            if one not in ASKED:
                known = ", ".join(ASKED)
                raise ValueError(f"nobody is told of '{one}'; known are {known}")
        return several


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
    together: Duration = Field(
        10.0,
        description=(
            "How long a restart waits for other playbooks that are about to restart the same: one"
            " restart serves all"
        ),
    )
    list_lag: Duration | None = Field(
        None, description="How long the provider's listing may lag; its own by default"
    )


class Shape(Model):
    """A playbook, before its plugins are looked at."""

    description: str = ""
    owner: str = ""
    tags: list[str] = []
    on: tuple[str, ...] = Field(
        (),
        description=(
            "Names of the nodes on which it runs, where it works with what is on one machine;"
            " '*': any, each has the same"
        ),
    )
    schedule: Schedule | None = None
    max_age: Duration | None = Field(
        None, description="Overdue after this: no window holds it back any more"
    )
    generate: dict[str, Any] = Field(description="The provider: `uses` and its settings")
    store: list[dict[str, Any]] = Field(
        min_length=1, description="Stores: `uses` and settings each"
    )
    restart: list[dict[str, Any]] = Field([], description="Restarters, in order")
    evidence: Evidence = Field(
        Evidence.STARTED, description="What each consumer must show at least"
    )
    verify: list[dict[str, Any]] = Field([{"uses": "provider"}], description="Probes")
    notify: list[dict[str, Any]] = Field(
        [], description="Who is told of it: `uses` and settings each"
    )
    monitor: dict[str, Any] | None = Field(
        None,
        description=(
            "What watches consumers while an old key goes: {uses: prometheus, url, query, max}"
        ),
    )
    revoke: Revoke = Revoke()
    limits: Limits = Limits()
    allow_downtime: bool = Field(
        False, description="Accept a provider whose new key kills the old one at once"
    )
    group: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Rotations of one group never overlap: one waits until the other has ended",
    )
    pool: list[str] | None = Field(
        None,
        description=(
            "Keys that serve side by side, for instance [OPENAI_API_KEY, OPENAI_API_KEY_1]: one"
            " playbook for each, one at a time; {member} is filled in"
        ),
    )
    for_each: list[dict[str, Any]] | None = Field(
        None, description="One playbook for each; {name} is filled in"
    )

    @field_validator("on", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("on")
    @classmethod
    def _nodes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("`on` names no node: leave it out, or name one")
        for name in value:
            if name != ANY_NODE and not _NODE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a node: as `hostname` prints it")
        return value

    @field_validator("store", "restart", "verify", "notify", mode="before")
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
