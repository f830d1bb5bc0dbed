"""A page for each shipped provider, and their index, made of the catalog files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from rotator.counting import as_typed
from rotator.integrations.catalog.entry import CatalogEntry, entry_at
from rotator.integrations.catalog.shipped import shipped
from rotator.integrations.catalog.slots import SlotsProvider

FOLDER = "providers"


def index() -> str:
    """Every provider, and who makes and destroys its keys."""
    entries = {name: entry_at(path) for name, path in shipped().items()}
    lines = [
        "# Providers\n",
        "What comes with rotator. One that is not here is [one YAML file](catalog.md), or, where it"
        " has no API for keys, `uses: operator`. AWS access keys are `uses: aws-iam`,"
        " API keys of Amazon Bedrock `uses: aws-bedrock` ([AWS](aws.md)).\n",
        "| provider | `uses:` | a key is made by | and destroyed by | can be switched off | last use |"
        " access without a key |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in sorted(entries.items(), key=lambda one: one[1].name.lower()):
        told = bool(entry.list_ and entry.list_.each.last_used)
        cells = (
            f"[{entry.name}]({FOLDER}/{name}.md)",
            f"`{name}`",
            "rotator" if entry.makes else "a person",
            "rotator" if entry.destroys else "a person",
            "yes" if entry.deactivate else "no",
            "told" if told else "not told",
            _federated(entry),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(name: str, note: str) -> str:
    """One provider: its settings, and what it cannot do."""
    return f"{note}\n{_page(name, entry_at(shipped()[name]))}"


def _federated(entry: CatalogEntry) -> str:
    one = entry.federation
    if one is None:
        return "not known"
    return f"[{one.name or 'offered'}]({one.docs})" if one.offered else "not offered"


def _page(name: str, entry: CatalogEntry) -> str:
    lines = [f"# {entry.name}\n", f"`uses: {name}`. {_who(entry)}\n"]
    rows = [("Documentation", entry.docs), ("Where a person makes keys", entry.console)]
    lines += [f"- {what}: <{address}>" for what, address in rows if address]
    if entry.env:
        lines.append(f"- Variables: {', '.join(f'`{one}`' for one in entry.env)}")
    lines.append(f"- Access without a key: {_federated(entry)}")
    lines += ["", *_settings(entry), *_steps(entry), *_limits(entry)]
    return "\n".join(lines).rstrip() + "\n"


def _who(entry: CatalogEntry) -> str:
    if entry.slots:
        return (
            "rotator makes the key of the slot anew that is not in use, and, after the grace, that"
            " of the other one: so the old key ends."
        )
    if entry.create:
        return "rotator makes the new key and destroys the old one."
    if entry.revoke:
        return "A person makes the new key (`rotator supply`); rotator does all else."
    return "A person makes the new key (`rotator supply`) and destroys the old one (`rotator confirm`)."


def _settings(entry: CatalogEntry) -> Iterator[str]:
    yield "## Settings\n"
    yield "| setting | | meaning |"
    yield "|---|---|---|"
    for name, one in entry.settings.items():
        needed = "required" if one.required else "optional"
        if one.default is not None:
            needed = f"`{one.default}`"
        kind = "a secret. " if one.secret else "" if one.type == "text" else f"{one.type}. "
        yield f"| `{name}` | {needed} | {kind}{one.help} |"
    base = f"instead of {entry.api.base}" if entry.api.base else "of the server"
    needed = "optional" if entry.api.base else "required"
    yield f"| `base_url` | {needed} | Address {base} |"
    for host, address in entry.api.hosts.items():
        needed = "optional" if address else "required"
        where = f"Address instead of {address}" if address else "Where keys are used"
        yield f"| `{host}_url` | {needed} | {where} |"
    if entry.slots:
        exclusive = next(one for one in fields(SlotsProvider) if one.name == "exclusive")
        yield f"| `exclusive` | required | bool. {exclusive.metadata['help']} |"
    yield ""


def _steps(entry: CatalogEntry) -> Iterator[str]:
    for title, steps in (("make a key", entry.steps.create), ("destroy one", entry.steps.revoke)):
        if steps:
            yield f"## To {title}\n"
            yield from (f"{number}. {step}" for number, step in enumerate(steps, start=1))
            yield ""


def _limits(entry: CatalogEntry) -> Iterator[str]:
    """What it cannot do, each with what follows from it."""
    yield "## What to know\n"
    each = entry.list_.each if entry.list_ else None
    if entry.slots:
        yield from _slots(entry)
    if each is None and entry.revoke:
        yield (
            "- It lists no keys: what a create left whose answer was lost is named as a possible"
            " orphan, and a person looks for it."
        )
    if each is not None and not each.hint and entry.whoami is None:
        yield (
            "- Its list shows no part of a key: before the first rotation `rotator adopt NAME --id"
            " ID` says which one is in use."
        )
    if entry.destroys and not (each and each.last_used):
        yield "- It does not tell when a key was last used: `grace` alone protects an old key."
    if entry.destroys and entry.deactivate is None:
        yield "- A key cannot be switched off for a while: there is no soak, and no way back."
    if entry.quota:
        yield f"- There can be {entry.quota} keys at once."
    if entry.max_lifetime:
        yield f"- A key lives for {as_typed(entry.max_lifetime)} at most."
    if entry.longest_label:
        yield f"- A key's name has at most {entry.longest_label} characters: the playbook's name is part of it."
    carried = {**(each.carried if each else {}), **(entry.read.carried if entry.read else {})}
    sent = {name for case in entry.create for name in _old(case.request.json_body)}
    if sent:
        yield f"- The new key gets what the old one has: {', '.join(sorted(sent))}."
    if lost := sorted(set(carried) - sent - {"name", "expires_on", "not_before"}):
        yield f"- It does not get: {', '.join(lost)}. What the old key has of these is said before the start."
    needs = sorted({name for case in entry.create for name in case.needs})
    if needs:
        words = [
            f"{one.removeprefix('old.')} of the old key" if one.startswith("old.") else "an end"
            for one in needs
        ]
        yield f"- Without {', '.join(words)} no key is made."
    if entry.probe is None:
        yield "- No call is known that only tries a key: a probe of a consumer must show that the new one works."
    yield from (f"- {note}" for note in entry.notes)


def _slots(entry: CatalogEntry) -> Iterator[str]:
    yield (
        "- There are two keys, always. Which of them is in use is found by its value: what the"
        " stores hold, among both keys that the provider shows."
    )
    yield (
        "- A rotation ends the other key at once. Refused: without `exclusive: true`; while another"
        " playbook, a consumer, or the old key's grace still has it; where a store cannot show"
        " which one it holds; and two playbooks of one credential."
    )
    yield (
        "- What a rotation left whose answer was lost is read in its slot. While an old key waits"
        " for its end, no further rotation begins, as its slot is the only free one."
    )
    for one in entry.preflight:
        yield f"- Said before the start: {one.text}."


def _old(body: object) -> set[str]:
    from rotator.integrations.catalog.entry import OLD
    from rotator.integrations.catalog.templates import placeholders

    return {one.removeprefix(OLD) for one in placeholders(body) if one.startswith(OLD)}
