"""Store `swarm`: a secret of Docker Swarm. Secrets cannot be changed or read: each write is the
next one of a family.

NAME-r1, NAME-r2, … : a name exists once, so the next number is a compare-and-set. Labels are the
note.
Source: https://docs.docker.com/engine/swarm/secrets/ (immutable, not readable).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rotator.clients import notes
from rotator.errors import ConfigError, Conflict, PermanentError
from rotator.integrations.docker import swarm
from rotator.integrations.docker.client import EngineConnection
from rotator.integrations.docker.container import moment
from rotator.integrations.docker.swarm import SwarmSecret
from rotator.model import Credential, Finding, Held, Level, Note
from rotator.plugin import Address, setting


@dataclass(frozen=True, kw_only=True)
class SwarmStore(EngineConnection):
    """Keep a key in a secret of Docker Swarm. Services get the next one by the restarter `swarm`.

    The value cannot be read back; key id, installation and rotation are its labels. The secret with
    a revoked key is removed.
    """

    secret: str = setting("Name of the secret, as the first one was created")

    compare_and_set = True
    write_only = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,55}[a-zA-Z0-9])?", self.secret):
            raise ConfigError(
                f"'{self.secret}' cannot be a secret's name",
                "at most 57 letters, digits, '-', '_' and '.'",
            )

    @property
    def name(self) -> str:
        return f"swarm {self.secret}"

    @property
    def writes(self) -> Address:
        """Its family, for a restarter that discovers its users."""
        return Address("swarm", self.secret, self.host or "")

    def preflight(self) -> list[Finding]:
        if not swarm.is_manager(self):
            hint = (
                "give a manager's address by `host:` or DOCKER_HOST; `docker node ls` answers there"
            )
            return [
                Finding(Level.ERROR, f"{self.name}: this engine is no manager of a swarm", hint)
            ]
        if not self._family():
            return [
                Finding(
                    Level.ERROR,
                    f"{self.name}: there is no such secret",
                    f"docker secret create {self.secret} -",
                )
            ]
        return []

    def read(self) -> Held | None:
        family = self._family()
        if not family:
            return None
        newest = family[max(family)]
        return Held(
            None, newest["Spec"]["Name"], _note(newest), moment(newest.get("CreatedAt", ""))
        )

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        family = self._family()
        newest = max(family, default=0)
        if (family[newest]["Spec"]["Name"] if family else "") != expect:
            raise Conflict(f"{self.name} was changed by somebody else")
        name = f"{self.secret}-r{newest + 1}"
        fields = {**notes.fields(note), "at": note.at}
        labels = {
            swarm.FAMILY: self.secret,
            **{f"rotator.{field}": str(value) for field, value in fields.items()},
        }
        swarm.create_secret(self, name, credential.primary, labels)
        return name

    def retire(self, version: str) -> None:
        """Remove the secret with the revoked key. Raises PermanentError, naming who uses it still.

        With it go those from before, as an undone rotation leaves them, and twins of the newest
        one: a write whose answer was lost is done again, as nobody can read what a secret holds.
        """
        family = self._family()
        dying = next(
            (number for number, one in family.items() if one["Spec"]["Name"] == version), None
        )
        if dying is None or dying == max(family):
            return
        newest = _note(family.pop(max(family)))
        for number in sorted(family):
            if number <= dying or _twins(_note(family[number]), newest):
                self._remove(family[number]["Spec"]["Name"], must=number == dying)

    def _remove(self, name: str, must: bool) -> None:
        try:
            swarm.remove_secret(self, name)
        except PermanentError as error:
            if must:
                hint = "detach it: `docker service update --secret-rm`"
                raise PermanentError(f"{self.name}: {error.message}", hint) from error

    def tidy(self, expect: str) -> None:
        """A secret is there or not: nothing is left by an interrupted write."""

    def _family(self) -> dict[int, SwarmSecret]:
        """The secrets of this name by their number; the one that people made is number 0."""
        return swarm.family(swarm.secrets(self), self.secret)


def _twins(one: Note | None, other: Note | None) -> bool:
    return (
        one is not None
        and other is not None
        and (one.key_id, one.rotation) == (other.key_id, other.rotation)
    )


def _note(secret: SwarmSecret) -> Note | None:
    labels = secret["Spec"].get("Labels") or {}
    return notes.read({name.removeprefix("rotator."): text for name, text in labels.items()})
