"""Every request of a shipped catalog file is one that the provider's own description allows."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rotator.model import Credential
from tests.contract.test_by_example import ENTRIES, SLOTTED, World, held, made
from tests.servers.by_example import Asked, serving

SPECS = Path(__file__).parent.parent / "specs"
DESCRIBED = {
    "anthropic": ("anthropic",),
    "azure-openai": ("azure-cognitive-services",),
    "dakora": ("dakora",),
    "datadog": ("datadog",),
    "deepgram": ("deepgram",),
    "gemini": ("google-apikeys",),
    "gitlab-project": ("gitlab",),
    "litellm": ("litellm",),
    "mistral": ("mistral-admin",),
    "openai": ("openai-admin",),
    "openai-admin": ("openai-admin",),
    "perplexity": ("perplexity",),
    "pinecone": ("pinecone",),
    "xai": ("xai-management", "xai-probe"),
}
# What the descriptions, which are of the calls about keys, leave out
ELSEWHERE = {
    "azure-openai": {"POST /tenant-1/oauth2/v2.0/token", "GET /openai/models"},
    "gemini": {"GET /v1beta/models"},
    "perplexity": {"GET /router/v1/models"},
    "pinecone": {"POST /oauth/token", "GET /indexes"},
}


def description(name: str) -> dict[str, Any]:
    path = SPECS / f"{name}.json"
    if not path.exists():
        path = Path(os.environ.get("ROTATOR_DESCRIPTIONS", "/nowhere")) / path.name
    if not path.exists():
        pytest.skip(f"{name} may not be copied; ROTATOR_DESCRIPTIONS names the folder that has it")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", DESCRIBED)
def test_every_request_is_in_the_description(name: str, tmp_path: Path) -> None:
    descriptions = [description(one) for one in DESCRIBED[name]]
    asked = list(requests(name, tmp_path))
    assert _wanted(name) <= {one.operation for one in asked}
    elsewhere = set()
    for one in asked:
        judged = [found for found in descriptions if (place := operation(found, one)) is not None]
        if not judged:
            elsewhere.add(f"{one.method} {one.path}")
            continue
        place = operation(judged[0], one)
        assert place is not None
        assert not list(wrong(judged[0], place, one)), one
    assert elsewhere == ELSEWHERE.get(name, set())


def test_a_request_that_is_none_is_told() -> None:
    """The judge itself: a wrong body, a parameter that is missing, an address that is none."""
    found, who = description("deepgram"), {"authorization": "Token k"}
    good = Asked(
        "create", "POST", "/v1/projects/p/keys", {}, who, {"comment": "c", "scopes": ["m"]}
    )
    place = operation(found, good)
    assert place is not None and not list(wrong(found, place, good))
    bad = Asked("create", "POST", "/v1/projects/p/keys", {}, who, {"comment": 7})
    assert list(wrong(found, place, bad))
    assert operation(found, Asked("create", "POST", "/v1/keys", {}, {}, {})) is None
    theirs = description("anthropic")
    bare = Asked("list", "GET", "/v1/organizations/api_keys", {}, {"x-api-key": "k"}, None)
    place = operation(theirs, bare)
    assert place is not None and any(
        "anthropic-version" in one for one in wrong(theirs, place, bare)
    )


def _wanted(name: str) -> set[str]:
    if name in SLOTTED:
        return {"both", "regenerate", "before", "probe"}
    entry = ENTRIES[name]
    none = {"create"} if not entry.create else set() if entry.list_ else {"list"}
    return {"create", "list", "revoke", "probe"} - none


def requests(name: str, folder: Path) -> Iterator[Asked]:
    """All that a key's life asks of its provider."""
    world = World(name, folder)
    with serving(world.issuer) as url:
        provider = world.provider(url)
        old = world.issuer.by_hand()
        key = made(world, provider, old)
        provider.preflight()
        provider.probe(key)
        provider.id_told(key)
        if provider.can_deactivate:
            provider.deactivate(key)
            provider.reactivate(key)
        provider.revoke(key)
        provider.revoke(held(old) if not provider.can_list else Credential({}, old.id))
    entry = world.entry
    for one in world.issuer.asked:
        host = re.match(r"/on-(\w+)(?=/)", one.path)
        base = entry.api.hosts[host[1]] if host else entry.api.base
        path = one.path.removeprefix(host[0]) if host else one.path
        yield one.at(urllib.parse.urlsplit(base or "").path + path)


def resolved(found: dict[str, Any], part: Any) -> Any:
    while isinstance(part, dict) and "$ref" in part:
        target: Any = found
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/")]
        part = target
    return part


def operation(found: dict[str, Any], asked: Asked) -> dict[str, Any] | None:
    """The operation with this method and path, with the parameters of its path."""
    base = urllib.parse.urlsplit(found["servers"][0]["url"]).path if found.get("servers") else ""
    for path, item in found["paths"].items():
        pattern = re.sub(r"\\\{[^{}]+\\\}", "[^/]+", re.escape(base + path))
        pattern = pattern.replace(r"/v2/[^/]+", "/v2/.+")  # Google: a name with slashes
        if re.fullmatch(pattern, asked.path) and asked.method.lower() in item:
            one = dict(item[asked.method.lower()])
            one["parameters"] = [*item.get("parameters", []), *one.get("parameters", [])]
            return one
    return None


def wrong(found: dict[str, Any], place: dict[str, Any], asked: Asked) -> Iterator[str]:
    """What the description does not allow."""
    given = {"query": asked.query, "header": {n.lower(): v for n, v in asked.headers.items()}}
    for parameter in (resolved(found, one) for one in place["parameters"]):
        if parameter["in"] not in given:
            continue
        name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
        value = given[parameter["in"]].get(name)
        if value is None:
            if parameter.get("required"):
                yield f"{parameter['name']} is missing in the {parameter['in']}"
        elif allowed := resolved(found, parameter.get("schema", {})).get("enum"):
            if value not in map(str, allowed):
                yield f"{parameter['name']} is {value}, none of {allowed}"
    known = {resolved(found, one)["name"] for one in place["parameters"]}
    yield from (f"{name} is no field of the query" for name in asked.query if name not in known)
    content = resolved(found, place.get("requestBody", {})).get("content", {})
    schema = next((one.get("schema") for one in content.values()), None)
    if schema is not None and asked.body is not None:
        judge = jsonschema.Draft202012Validator(
            {**schema, "components": found.get("components", {})}
        )
        yield from (error.message for error in judge.iter_errors(asked.body))
