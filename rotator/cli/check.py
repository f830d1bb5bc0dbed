"""Does the key of each provider in the environment work: check."""

from __future__ import annotations

import os

import click

from rotator.cli.common import (
    CONTEXT,
    examples,
    json_option,
    know_key_patterns,
)
from rotator.cli.findings import Checked, show_findings
from rotator.errors import Rejected, RotatorError, Unsupported
from rotator.integrations.catalog.entry import CatalogEntry, entry_at
from rotator.integrations.catalog.provider import provider_class
from rotator.integrations.catalog.shipped import shipped
from rotator.model import Credential
from rotator.reference import Reference
from rotator.secret import Secret, hint_of


@click.command(
    "check",
    context_settings=CONTEXT,
    epilog=examples("rotator check", "rotator check openai openrouter"),
)
@click.argument("names", nargs=-1, metavar="[PROVIDER]...")
@json_option
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Per provider: is its variable (OPENAI_API_KEY, …) set, does it look right, does it work?

    Without a PROVIDER: every one whose variable is set, and OpenAI.
    """
    know_key_patterns()
    wanted = list(names) or [
        name
        for name, path in shipped().items()
        if name == "openai" or any(os.environ.get(variable) for variable in entry_at(path).env)
    ]
    unknown = [name for name in wanted if name not in shipped()]
    if unknown:
        raise click.UsageError(
            f"no provider '{unknown[0]}' in the catalog; known are {', '.join(shipped())}"
        )
    return show_findings([_check(name, entry_at(shipped()[name])) for name in wanted], as_json)


def _check(name: str, entry: CatalogEntry) -> Checked:
    variable = next((v for v in entry.env if os.environ.get(v)), entry.env[0])
    value = os.environ.get(variable, "")
    if not value:
        return Checked(
            name, False, f"{variable} is not set", f"export {variable}=…, from {entry.console}"
        )
    tidy = "".join(value.split())
    stray = "; stray spaces or newlines in it" if tidy != value else ""
    key = Secret(value), Secret(tidy)
    provider = _prober(name, entry)
    if stray:
        return Checked(
            name,
            False,
            f"{variable} has stray spaces or newlines",
            "copy the key again, without them",
        )
    if wrong := provider.looks_right(key[1]):
        return Checked(
            name, False, f"{variable} is set ({hint_of(tidy)}), but {wrong}", f"see {entry.console}"
        )
    try:
        provider.probe(Credential({"key": key[1]}))
    except Rejected as error:
        return Checked(
            name,
            False,
            f"{variable} ({hint_of(tidy)}) is refused: {error.message}",
            f"see {entry.console}",
        )
    except Unsupported:
        return Checked(name, True, f"{variable} ({hint_of(tidy)}) looks right")
    except RotatorError as error:
        return Checked(
            name,
            False,
            f"{variable} ({hint_of(tidy)}) cannot be tried: {error.message}",
            error.hint,
        )
    return Checked(name, True, f"{variable} ({hint_of(tidy)}) works")


def _prober(name: str, entry: CatalogEntry):  # type: ignore[no-untyped-def]
    """The provider, only to probe: its administrator's settings are never asked for.

    Address from the environment.
    """
    base = os.environ.get(f"{entry.env[0].rpartition('_API_KEY')[0]}_BASE_URL")
    unused = {
        key: Reference("env", "UNUSED") if setting.secret else "unused"
        for key, setting in entry.settings.items()
        if setting.required
    }
    return provider_class(name, entry)(
        base_url=base or entry.api.base or "http://localhost", **unused
    )
