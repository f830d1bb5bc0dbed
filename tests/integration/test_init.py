"""`rotator init`: from the files that a team has to playbooks that load; nothing else is changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotator.integrations.catalog.entry import entry_at
from rotator.integrations.catalog.shipped import shipped
from rotator.settings import load as settings
from rotator.setup import live, made, paths, units
from rotator.setup.at_hand import AtHand
from tests.integration.test_commands import Said, run  # noqa: F401  (a fixture)
from tests.patterns import Examples
from tests.servers import issuers

Run = Callable[..., Said]
PATTERNS = {
    "OPENAI_API_KEY": r"sk-proj-[A-Za-z0-9]{40}",
    "CLAUDE_API_KEY": r"sk-ant-api03-[A-Za-z0-9]{93}AA",
    "GEMINI_API_KEY": r"AIza[A-Za-z0-9]{35}",
    "AZURE_OPENAI_API_KEY": r"[0-9a-f]{32}",
    "AWS_ACCESS_KEY_ID": r"AKIA[A-Z2-7]{16}",
    "AWS_SECRET_ACCESS_KEY": r"[A-Za-z0-9]{40}",
    "XAI_API_KEY": r"xai-[A-Za-z0-9]{80}",
    "DEEPSEEK_API_KEY": r"sk-[a-z0-9]{32}",
    "GROQ_API_KEY": r"gsk_[A-Za-z0-9]{52}",
    "MISTRAL_API_KEY": r"[A-Za-z0-9]{32}",
    "COHERE_API_KEY": r"[A-Za-z0-9]{40}",
    "TOGETHER_API_KEY": r"[0-9a-f]{64}",
    "PERPLEXITY_API_KEY": r"pplx-[A-Za-z0-9]{48}",
    "OPENROUTER_API_KEY": r"sk-or-v1-[0-9a-f]{64}",
    "FIREWORKS_API_KEY": r"fw_[A-Za-z0-9]{24}",
    "DASHSCOPE_API_KEY": r"sk-[0-9a-f]{32}",
    "DAFT_API_KEY": r"sk-[A-Za-z0-9]{40}",
    "GOOGLE_API_KEY": r"AIza[A-Za-z0-9]{35}",
    "ANTHROPIC_API_KEY": r"sk-ant-api03-[A-Za-z0-9]{93}AA",
    "DAKORA_API_KEY": r"dkr_[A-Za-z0-9]{32}",
}
VALUES = {name: Examples(pattern, 7).one() for name, pattern in PATTERNS.items()}
GUIDE = "\n".join(
    [
        "# keys of the assistants",
        *(f"{name}={value}" for name, value in VALUES.items()),
        f"AZURE_API_KEY={VALUES['AZURE_OPENAI_API_KEY']}",
        "AZURE_OPENAI_ENDPOINT=https://ours.openai.azure.com",
        "AZURE_OPENAI_API_VERSION=2024-10-21",
        "AZURE_API_BASE=https://ours.openai.azure.com",
        "AZURE_API_VERSION=2024-10-21",
        "AWS_DEFAULT_REGION=eu-central-1",
        "LOG_LEVEL=info",
        "",
    ]
)
COMPOSE = """\
services:
  api: {image: api, env_file: .env}
  worker:
    image: worker
    environment: [OPENAI_API_KEY, 'MODEL_KEY=${GROQ_API_KEY:?}', LOG=info]
    secrets: [tavily]
  pinned: {image: p, environment: {OPENROUTER_API_KEY: sk-or-v1-written-out}}
secrets:
  tavily: {file: ./tavily-api-key.txt}
"""
STACK = """\
services:
  api: {image: api, secrets: [anthropic_api_key], environment: [OPENAI_API_KEY]}
secrets:
  anthropic_api_key: {external: true}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  template:
    spec:
      containers:
        - name: api
          env:
            - {name: OPENAI_API_KEY, valueFrom: {secretKeyRef: {name: api-keys, key: openai}}}
          envFrom: [{secretRef: {name: more-keys}}]
---
apiVersion: v1
kind: Secret
metadata: {name: groq, namespace: shop}
stringData: {GROQ_API_KEY: gsk_%s}
""" % ("a1" * 26)
UNIT = """\
[Service]
ExecStart=/srv/app/run
EnvironmentFile=-%s/app.env
Environment=MISTRAL_API_KEY=written-out-in-the-unit
"""


@pytest.fixture
def world(home: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:  # noqa: F811
    """A folder as the guides have it; no playbook yet, and nothing of this machine is looked at."""
    folder = home / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", str(folder / "playbooks"))
    monkeypatch.setattr(units, "FOLDERS", ())
    monkeypatch.setattr(live, "_RUN", home / "run")
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_ADMIN_KEY", "_BASE_URL")) or name.startswith("AWS_"):
            monkeypatch.delenv(name)
    return folder


def guide(folder: Path) -> None:
    (folder / ".env").write_text(GUIDE)
    (folder / ".env.example").write_text(
        "OPENAI_API_KEY=your-key-here\nOTHER_API_KEY=abcdefgh1234\n"
    )
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "docker-stack.yml").write_text(STACK)
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "tavily-api-key.txt").write_text("tvly-abcdefghijklmnop\n")
    (folder / "app.env").write_text(f"GROQ_API_KEY={Examples(PATTERNS['GROQ_API_KEY'], 8).one()}\n")
    (folder / "app.service").write_text(UNIT % folder)


def playbook(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "playbooks" / f"{name}.yaml").read_text())
    return found


def test_the_guides_files_become_playbooks_without_a_mistake(run: Run, world: Path) -> None:  # noqa: F811
    guide(world)
    before = {path.name: path.read_bytes() for path in world.iterdir() if path.is_file()}
    said = run("init", "--json")
    assert said.code == 0, said
    by_name = {one["playbook"]: one for one in said.json["playbooks"]}
    held = {text.split(" in ")[0] for one in by_name.values() for text in one["holdings"]}
    assert not (VALUES.keys() - {"AWS_ACCESS_KEY_ID"}) - held, "each key has a playbook"
    assert all(one["file"] for one in by_name.values())
    offline = run("plan", "--offline")
    assert offline.code == 0 and not offline.err, offline
    assert len(run("validate", "--json").json["playbooks"]) == len(by_name)
    after = {path.name: path.read_bytes() for path in world.iterdir() if path.is_file()}
    assert after == before, "nothing is changed but the folder of the playbooks"
    written = "".join(path.read_text() for path in (world / "playbooks").iterdir())
    assert not [value for value in VALUES.values() if value in written], "no value is in them"
    assert not [value for value in VALUES.values() if value in said.out + said.err]


def test_who_reads_a_key_is_found(run: Run, world: Path) -> None:  # noqa: F811
    """By env_file and by interpolation, a unit's EnvironmentFile, a Secret's workloads, a secret of
    the swarm.
    """
    guide(world)
    run("init")
    compose = {"uses": "compose", "file": f"{world}/compose.yaml"}
    openai = playbook(world, "openai")
    assert openai["restart"] == [
        {**compose, "services": ["api"], "env": "OPENAI_API_KEY"},
        {**compose, "services": ["worker"], "env": "OPENAI_API_KEY"},
    ]
    assert openai["evidence"] == "read" and "revoke" not in openai
    assert playbook(world, "groq")["restart"] == [
        {**compose, "services": ["api"], "env": "GROQ_API_KEY"},
        {**compose, "services": ["worker"], "env": "MODEL_KEY"},
    ]
    assert playbook(world, "groq-2")["restart"] == [
        {"uses": "systemd", "units": ["app.service"], "env": "GROQ_API_KEY"}
    ]
    stores = [
        store
        for path in (world / "playbooks").glob("*.yaml")
        for store in playbook(world, path.stem)["store"]
    ]
    assert {"uses": "dotenv", "path": f"{world}/app.env", "key": "GROQ_API_KEY"} in stores
    assert {"uses": "swarm", "secret": "anthropic_api_key"} in stores
    assert {"uses": "kubernetes", "secret": "shop/api-keys", "key": "openai"} in stores
    assert {"uses": "kubernetes", "secret": "shop/groq", "key": "GROQ_API_KEY"} in stores
    assert {"uses": "file", "path": f"{world}/tavily-api-key.txt"} in stores
    in_cluster = next(
        found
        for path in (world / "playbooks").glob("*.yaml")
        if (found := playbook(world, path.stem))["store"][0]["uses"] == "kubernetes"
    )
    assert in_cluster["restart"] == [{"uses": "kubernetes", "workloads": "discover"}]
    assert in_cluster["evidence"] == "started"


def test_what_is_no_store_is_said(run: Run, world: Path) -> None:  # noqa: F811
    guide(world)
    told = "\n".join(run("init", "--json").json["said"])
    assert "compose.yaml gives OPENROUTER_API_KEY to pinned in its own text" in told
    assert "app.service has MISTRAL_API_KEY in its own text" in told
    assert "docker-stack.yml is a stack" in told
    assert "`rotator init kubernetes:shop/more-keys` asks the cluster" in told


def test_a_value_in_several_places_is_one_key(run: Run, world: Path) -> None:  # noqa: F811
    """Also under two names; and GEMINI_API_KEY is another one than GOOGLE_API_KEY here."""
    guide(world)
    run("init")
    azure = playbook(world, "azure-openai")
    assert [store["key"] for store in azure["store"]] == ["AZURE_OPENAI_API_KEY", "AZURE_API_KEY"]
    text = (world / "playbooks" / "azure-openai.yaml").read_text()
    assert f"# The same key: AZURE_API_KEY in {world}/.env." in text
    aws = playbook(world, "aws-iam")
    assert aws["generate"] == {"uses": "aws-iam", "region": "eu-central-1"}
    assert aws["store"][0]["keys"] == {
        "AWS_ACCESS_KEY_ID": "access_key_id",
        "AWS_SECRET_ACCESS_KEY": "secret_access_key",
        "AWS_DEFAULT_REGION": "region",
    }


def test_azures_account_stands_beside_its_key(
    run: Run,  # noqa: F811
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is not known is said: whether anybody else uses the other key."""
    monkeypatch.setenv("AZURE_OPENAI_TOKEN", "an-access-token-0123456789")
    key = VALUES["AZURE_OPENAI_API_KEY"]
    (world / ".env").write_text(
        f"AZURE_API_KEY={key}\nAZURE_API_BASE=https://ours.openai.azure.com\n"
        "AZURE_SUBSCRIPTION_ID=sub-1\nAZURE_RESOURCE_GROUP=group-1\n"
        "AZURE_OPENAI_ACCOUNT=ours\nAZURE_API_VERSION=2024-06-01\n"
    )
    assert run("init").code == 0
    assert playbook(world, "azure-openai")["generate"] == {
        "uses": "azure-openai",
        "subscription": "sub-1",
        "resource_group": "group-1",
        "account": "ours",
        "token": {"env": "AZURE_OPENAI_TOKEN"},
        "api_version": "2024-06-01",
        "endpoint_url": "https://ours.openai.azure.com",
    }
    offline = run("plan", "--offline")
    assert offline.code == 0 and not offline.err, offline


def test_a_key_of_bedrock_is_recognised(run: Run, world: Path) -> None:  # noqa: F811
    """Whose it is, no variable says: a person makes it until that is known."""
    key = "ABSKQmVkcm9ja0FQSUtleS0" + "Ab1" * 40
    (world / ".env").write_text(f"AWS_BEARER_TOKEN_BEDROCK={key}\nAWS_DEFAULT_REGION=eu-west-1\n")
    (made,) = run("init", "--json").json["playbooks"]
    assert made["playbook"] == "aws-bedrock"
    text = (world / "playbooks" / "aws-bedrock.yaml").read_text()
    assert "by `uses: aws-bedrock`, once `user` is known" in text and key not in text
    assert playbook(world, "aws-bedrock")["generate"]["uses"] == "operator"
    offline = run("plan", "--offline")
    assert offline.code == 0 and not offline.err, offline


def test_keys_that_serve_side_by_side_are_one_pool(run: Run, world: Path) -> None:  # noqa: F811
    """OPENAI_API_KEY, OPENAI_API_KEY_1 and _2 of one file; each with its own history later."""
    keys = Examples(PATTERNS["OPENAI_API_KEY"], 3)
    names = ["OPENAI_API_KEY", "OPENAI_API_KEY_1", "OPENAI_API_KEY_2"]
    (world / ".env").write_text("".join(f"{name}={keys.one()}\n" for name in names))
    (world / "compose.yaml").write_text("services:\n  gateway: {image: g, env_file: .env}\n")
    assert run("init").code == 0
    assert [path.name for path in (world / "playbooks").glob("*.yaml")] == ["openai.yaml"]
    found = playbook(world, "openai")
    assert found["pool"] == names
    assert [store["key"] for store in found["store"]] == ["{member}"]
    assert [one.get("services") for one in found["restart"]] == [["gateway"]]
    planned = run("plan", "--offline", "--json")
    assert planned.code == 0, planned
    assert [one["playbook"] for one in planned.json["playbooks"]] == [
        f"openai-{name.lower()}" for name in names
    ]


def test_a_pool_one_of_whose_keys_has_a_playbook_is_none(run: Run, world: Path) -> None:  # noqa: F811
    keys = Examples(PATTERNS["OPENAI_API_KEY"], 3)
    (world / ".env").write_text(f"OPENAI_API_KEY={keys.one()}\nOPENAI_API_KEY_1={keys.one()}\n")
    (world / "playbooks").mkdir()
    mine = "generate: {uses: operator}\nstore: {uses: dotenv, path: ../.env, key: OPENAI_API_KEY}\n"
    (world / "playbooks" / "mine.yaml").write_text(mine)
    assert run("init").code == 0
    [written] = {path.stem for path in (world / "playbooks").glob("*.yaml")} - {"mine"}
    assert playbook(world, written)["store"][0]["key"] == "OPENAI_API_KEY_1"


def test_no_playbook_is_written_over_and_none_twice(run: Run, world: Path) -> None:  # noqa: F811
    """Not the one that has the store already, and not a file that only has the name."""
    guide(world)
    (world / "playbooks").mkdir()
    mine = "generate: {uses: operator}\nstore: {uses: dotenv, path: ../.env, key: OPENAI_API_KEY}\n"
    (world / "playbooks" / "mine.yaml").write_text(mine)
    broken = world / "playbooks" / "groq.yaml"
    broken.write_text("generate: {uses: grok}\n")
    first = run("init", "--json").json["playbooks"]
    owned = [one["playbook"] for one in first if not one["file"]]
    assert owned == ["mine"] and not (world / "playbooks" / "openai.yaml").exists()
    assert broken.read_text() == "generate: {uses: grok}\n"
    assert (world / "playbooks" / "groq-2.yaml").exists()
    broken.unlink()
    files = {path: path.read_text() for path in (world / "playbooks").iterdir()}
    again = run("init", "--json")
    assert again.code == 0 and not [one for one in again.json["playbooks"] if one["file"]]
    assert {path: path.read_text() for path in (world / "playbooks").iterdir()} == files


def test_what_stands_in_place_of_a_key_is_left_out(run: Run, world: Path) -> None:  # noqa: F811
    (world / ".env").write_text(
        "OPENAI_API_KEY=your-key-here\nGROQ_API_KEY=\nHF_TOKEN=encrypted:abcdefgh\n"
        "OPENAI_ADMIN_KEY=sk-admin-abcdefghijklmnopqrstuvwxyz\nDB_PASSWORD=hunter22\n"
    )
    said = run("init", "--json")
    told = "\n".join(said.json["said"])
    assert said.code == 1 and said.json["playbooks"] == []
    assert "a placeholder, not a key" in told and "GROQ_API_KEY" in told and "is empty" in told
    assert "what is encrypted by dotenvx" in told
    assert "OPENAI_ADMIN_KEY" in told and "administrator's credential of OpenAI" in told
    assert "DB_PASSWORD" in told and "left alone" in told and "hunter22" not in said.out
    assert not (world / "playbooks").exists()


@pytest.mark.parametrize(
    ("line", "provider", "words"),
    [
        ("LLM_KEY=sk-or-v1-" + "0a" * 32, "openrouter", "it looks like a key of OpenRouter"),
        (
            "OPENAI_API_KEY=sk-or-v1-" + "0a" * 32,
            "openrouter",
            "OPENAI_API_KEY is a name of OpenAI",
        ),
        ("PROD_GROQ_API_KEY=gsk_" + "a1" * 26, "groq", ""),
        ("OPENAI_API_KEY_3=sk-proj-" + "a1" * 20, "openai", ""),
        ("TAVILY_API_KEY=tvly-abcdefgh12345678", "operator", ""),
    ],
)
def test_a_key_is_recognised_by_its_name_and_its_form(
    run: Run,  # noqa: F811
    world: Path,
    line: str,
    provider: str,
    words: str,  # noqa: F811
) -> None:
    (world / "x.env").write_text(f"{line}\n")
    (found,) = run("init", "x.env", "--json").json["playbooks"]
    wanted = {"groq": "groq", "operator": "operator"}.get(provider, "operator")
    assert found["provider"] == wanted and words in " ".join(found["said"])
    if provider not in ("operator", "groq"):
        assert playbook(world, provider)["generate"]["pattern"]


def test_without_admin_rights_a_person_makes_the_keys(run: Run, world: Path) -> None:  # noqa: F811
    """With the pattern, the console, and the provider's own call as a probe; what is missing is
    named.
    """
    (world / ".env").write_text(f"CLAUDE_API_KEY={VALUES['CLAUDE_API_KEY']}\n")
    (found,) = run("init", "--json").json["playbooks"]
    assert (found["by_hand"], found["missing"]) == (True, ["admin_key"])
    written = playbook(world, "anthropic")
    assert written["generate"]["uses"] == "operator"
    assert written["generate"]["console"].startswith("https://")
    (probe,) = written["verify"]
    assert probe["url"] == "https://api.anthropic.com/v1/models?limit=1000"
    assert probe["headers"] == {"x-api-key": "{key}", "anthropic-version": "2023-06-01"}
    assert written["evidence"] == "none" and written["revoke"] == {"grace": "30d"}
    text = (world / "playbooks" / "anthropic.yaml").read_text()
    assert "Nobody was found who reads it" in text and "admin_key (An Admin API key" in text


def test_a_providers_other_host_and_what_it_says_of_a_dead_key_stand_in_the_probe(
    run: Run,  # noqa: F811
    world: Path,
) -> None:
    """xAI's keys are made at one host and tried at another, which answers 200 for a key that is
    switched off.
    """
    (world / ".env").write_text(f"XAI_API_KEY={VALUES['XAI_API_KEY']}\n")
    run("init")
    (probe,) = playbook(world, "xai")["verify"]
    assert probe["url"] == "https://api.x.ai/v1/api-key"
    assert probe["expect"]["body"] == ["!(api_key_disabled || api_key_blocked)"]
    assert run("plan", "--offline").code == 0


def _with_a_key(value: str, ends: str | None = None) -> type[issuers.OpenRouter]:
    """OpenRouter with one key, which a person made."""
    listed = {
        "hash": "hash-77",
        "name": "made by hand",
        "label": f"{value[:12]}...{value[-4:]}",
        "disabled": False,
        "created_at": "2026-03-01T00:00:00Z",
        "expires_at": ends,
        "secret": value,
    }
    return type("Handler", (issuers.OpenRouter,), {"keys": {"hash-77": listed}})


def test_with_an_administrators_credential_the_key_is_found_at_its_provider(
    run: Run,  # noqa: F811
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its id stands above the playbook, which makes keys itself; a stranger's key is said to be
    none of the listed.
    """
    value = VALUES["OPENROUTER_API_KEY"]
    handler = _with_a_key(value)
    with issuers.serving(handler) as url:
        (world / ".env").write_text(f"OPENROUTER_API_KEY={value}\nOPENROUTER_BASE_URL={url}\n")
        stranger = Examples(PATTERNS["OPENROUTER_API_KEY"], 9).one()
        (world / "b.env").write_text(f"OPENROUTER_API_KEY={stranger}\nOPENROUTER_BASE_URL={url}\n")
        monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", issuers.ADMIN)
        monkeypatch.setenv("OPENROUTER_BASE_URL", url)
        first, second = run("init", "--json").json["playbooks"]
    assert (first["provider"], first["by_hand"], first["missing"]) == ("openrouter", False, [])
    known = "it is hash-77 of OpenRouter, called 'made by hand', made on 2026-03-01"
    assert first["said"] == [known], first
    assert "lists no key that could be it" in second["said"][0]
    assert playbook(world, "openrouter")["generate"] == {
        "uses": "openrouter",
        "management_key": {"env": "OPENROUTER_MANAGEMENT_KEY"},
        "base_url": url,
    }
    assert f"# {known}." in (world / "playbooks" / "openrouter.yaml").read_text()


def test_only_what_cannot_be_known_is_asked_and_once(world: Path) -> None:
    """The project of two keys is one question; what is not known stays out."""
    first, second = (Examples(PATTERNS["OPENAI_API_KEY"], seed).one() for seed in (1, 2))
    (world / ".env").write_text(f"OPENAI_API_KEY={first}\nEVALS_OPENAI_API_KEY={second}\n")
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "proj_asked" if "project" in question else "./admin"

    here = settings()
    at_hand = AtHand((), answer, {})
    done = made.make(paths.look([]), here.folders[0], here.directory, at_hand)
    assert [one.playbook for one in done.made] == ["openai", "evals-openai"]
    assert len(asked) == 2 and all("OpenAI" in one for one in asked)
    assert playbook(world, "evals-openai")["generate"] == {
        "uses": "openai",
        "project": "proj_asked",
        "admin_key": {"file": f"{world}/admin"},
    }


def test_files_of_administrators_credentials_are_found(world: Path) -> None:
    (world / "openrouter-management").write_text("key")
    (world / ".env").write_text(f"OPENROUTER_API_KEY={VALUES['OPENROUTER_API_KEY']}\n")
    here = settings()
    done = made.make(paths.look([]), here.folders[0], here.directory, AtHand((world,), None, {}))
    assert not done.made[0].by_hand
    reference = playbook(world, "openrouter")["generate"]["management_key"]
    assert reference == {"file": f"{world}/openrouter-management"}


def test_a_unit_of_this_machine_is_found_for_a_file(world: Path, home: Path) -> None:
    """A drop-in counts as its unit, a template as all of its instances."""
    (world / ".env").write_text(f"GROQ_API_KEY={VALUES['GROQ_API_KEY']}\n")
    folder = home / "etc"
    (folder / "web.service.d").mkdir(parents=True)
    line = f"[Service]\nEnvironmentFile={world}/.env\n"
    (folder / "web.service.d" / "keys.conf").write_text(line)
    (folder / "app@.service").write_text(line)
    (folder / "other.service").write_text("[Service]\nEnvironmentFile=/srv/other\n")
    here = settings()
    found = paths.look([], (folder,))
    made.make(found, here.folders[0], here.directory, AtHand((), None, {}))
    assert playbook(world, "groq")["restart"] == [
        {"uses": "systemd", "units": ["app@*.service"], "env": "GROQ_API_KEY"},
        {"uses": "systemd", "units": ["web.service"], "env": "GROQ_API_KEY"},
    ]


def test_a_file_that_is_named_from_elsewhere_is_one_store(run: Run, world: Path) -> None:  # noqa: F811
    (world / "api").mkdir()
    (world / ".env").write_text(f"GROQ_API_KEY={VALUES['GROQ_API_KEY']}\n")
    (world / "api" / "compose.yaml").write_text("services: {api: {image: a, env_file: ../.env}}\n")
    assert run("init", ".", "api").code == 0
    written = playbook(world, "groq")
    assert [one["path"] for one in written["store"]] == [f"{world}/.env"]
    assert [one["services"] for one in written["restart"]] == [["api"]]


def test_what_a_unit_takes_back_it_does_not_read(world: Path) -> None:
    path = world / "app.service"
    path.write_text(
        "[Service]\nEnvironmentFile=/srv/old.env\nEnvironmentFile=\nEnvironmentFile=/srv/new.env\n"
        "LoadCredential=openai\n"
        "Environment=A_KEY=x\nEnvironment=\nLoadCredential=groq:/etc/groq\n"
    )
    found = units.read(path)
    assert found.files == ("/srv/new.env",), "else nobody were found who reads it"
    assert found.credentials == (("groq", "/etc/groq"),) and found.written == ()


def test_a_path_that_is_not_there_is_a_mistake(run: Run, world: Path) -> None:  # noqa: F811
    said = run("init", "missing.env")
    assert said.code == 2 and "does not exist" in said.err and "vault:PATH" in said.err
    assert run("init").code == 1, "a folder without any key"
    assert json.loads(run("init", "--json").out)["playbooks"] == []


def test_check_tells_of_each_key_in_a_file(
    run: Run,  # noqa: F811
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it works, which one it is, how old, when it ends; what needs no key is said."""
    value = VALUES["OPENROUTER_API_KEY"]
    handler = _with_a_key(value, "2099-03-01T00:00:00Z")
    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", issuers.ADMIN)
    with issuers.serving(handler) as url:
        monkeypatch.setenv("OPENROUTER_BASE_URL", url)
        (world / ".env").write_text(
            f"OPENROUTER_API_KEY={value}\nOPENROUTER_BASE_URL={url}\nOLLAMA_HOST=http://x\n"
            f"DAFT_API_KEY={VALUES['DAFT_API_KEY']}\nGROQ_API_KEY=gsk_short\n"
        )
        said = run("check", ".env")
    assert said.code == 1 and "✓ openrouter: OPENROUTER_API_KEY in" in said.out, said
    assert (
        "works; it is hash-77 of OpenRouter, called 'made by hand', made on 2026-03-01, ends on"
        in said.out
    )
    assert "✓ daft: DAFT_API_KEY" in said.out and "looks right" in said.out
    assert "✗ groq:" in said.out and "does not look like a key of Groq" in said.out
    assert "✓ ollama: no key is needed" in said.out and value not in said.out
    assert "✓ ollama: no key is needed" in run("check", "ollama").out
    (world / "none.env").write_text("LOG=info\n")
    assert run("check", "none.env").code == 1


def test_a_name_of_others_says_nothing_in_a_playbook(run: Run, world: Path) -> None:  # noqa: F811
    """A comment that goes on in a next line would be a line of the playbook."""
    (world / "manifest.yaml").write_text(
        'kind: Secret\nmetadata: {name: "x\\nowner: mallory\\n# y"}\n'
        f"stringData: {{OPENAI_API_KEY: {VALUES['OPENAI_API_KEY']}}}\n"
    )
    assert run("init", "--json").code == 0
    assert "owner" not in playbook(world, "openai")


def test_the_probe_asks_where_the_keys_readers_send_it(run: Run, world: Path) -> None:  # noqa: F811
    """A key of a team's own proxy is no business of the provider's."""
    key = VALUES["OPENAI_API_KEY"]
    (world / ".env").write_text(f"OPENAI_API_KEY={key}\nOPENAI_BASE_URL=https://llm.corp/v1/\n")
    assert run("init").code == 0
    (probe,) = playbook(world, "openai")["verify"]
    assert probe["url"] == "https://llm.corp/v1/models"


def test_an_address_with_a_password_is_not_written_down(run: Run, world: Path) -> None:  # noqa: F811
    key = VALUES["OPENAI_API_KEY"]
    (world / ".env").write_text(
        f"OPENAI_API_KEY={key}\nOPENAI_BASE_URL=https://me:hunter2222@llm.corp/v1\n"
    )
    said = run("init")
    text = (world / "playbooks" / "openai.yaml").read_text()
    assert "hunter2222" not in said.out + text
    assert "verify" not in playbook(world, "openai"), "nor is the key sent anywhere else"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "kind: Secret\nmetadata: text\ndata: [a]\n"),
        ("a.yaml", "kind: Deployment\nspec: {template: {spec: {containers: [a, {env: [b]}]}}}\n"),
        ("a.yaml", "kind: List\nitems: [1, {kind: Deployment, metadata: [], spec: x}]\n"),
        ("a.yaml", "made: 2026-99-99\n"),
    ],
)
def test_what_has_another_shape_is_passed_over(run: Run, world: Path, name: str, text: str) -> None:  # noqa: F811
    (world / ".env").write_text(f"GROQ_API_KEY={VALUES['GROQ_API_KEY']}\n")
    (world / name).write_text(text)
    assert run("init").code == 0 and (world / "playbooks" / "groq.yaml").exists()


def test_a_unit_that_is_no_text_is_a_mistake_with_its_name(run: Run, world: Path) -> None:  # noqa: F811
    (world / "app.service").write_bytes(b"[Service]\nX=\xff\n")
    said = run("init")
    assert said.code == 2 and "app.service cannot be read" in said.err


def test_a_pipe_in_place_of_a_secrets_file_is_not_waited_for(run: Run, world: Path) -> None:  # noqa: F811
    os.mkfifo(world / "openai.txt")
    (world / "compose.yaml").write_text(
        "services: {api: {image: api, secrets: [openai_api_key]}}\n"
        "secrets: {openai_api_key: {file: ./openai.txt}}\n"
    )
    assert "Traceback" not in run("init").err


def test_a_playbook_that_does_not_fit_on_the_disk_leaves_no_half_of_it(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try would take it for one that a person wrote."""
    from rotator.errors import AccessDenied

    (world / ".env").write_text(f"GROQ_API_KEY={VALUES['GROQ_API_KEY']}\n")
    here, real = settings(), Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            self.file.close()

        def write(self, text: str) -> None:
            self.file.write(text[:20])
            raise OSError(28, "No space left on device")

    def full(self: Path, mode: str = "r", **more: Any) -> Any:
        file = real(self, mode, **more)
        return Full(file) if mode == "x" else file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(AccessDenied, match="No space left"):
        made.make(paths.look([]), here.folders[0], here.directory, AtHand((), None, {}))
    assert not list((world / "playbooks").glob("*.yaml"))


def test_an_administrators_credential_is_not_sent_where_a_file_says(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in a project's .env, or a stranger's server, would have the organisation. What lies
    beside that very file is meant for it.
    """
    asked: list[str] = []
    monkeypatch.setattr("rotator.clients.http.send", lambda request: asked.append(request.url))
    machine = world.parent / "etc"
    machine.mkdir()
    (machine / "openrouter-management").write_text("the-organisations-own")
    key = VALUES["OPENROUTER_API_KEY"]
    there = "OPENROUTER_BASE_URL=http://proxy.example/v1"
    (world / ".env").write_text(f"OPENROUTER_API_KEY={key}\n{there}\n")
    environment = {"OPENROUTER_MANAGEMENT_KEY": "the-organisations-own"}
    here, folders = settings(), (world, machine)
    at_hand = AtHand(folders, None, environment)
    (one,) = made.make(paths.look([]), here.folders[0], here.directory, at_hand).made
    assert not asked and one.missing == ("management_key",)
    assert playbook(world, "openrouter")["generate"]["uses"] == "operator"
    entry = entry_at(shipped()["openrouter"])
    beside = {"OPENROUTER_BASE_URL": "http://proxy.example/v1"}
    (world / "openrouter-management").write_text("the-proxys")
    found, _ = at_hand.settings("openrouter", entry, beside, world / ".env")
    assert found["management_key"] == {"file": f"{world}/openrouter-management"}
    same = AtHand(folders[1:], None, {**environment, **beside})
    assert same.settings("openrouter", entry, beside, world / ".env")[1] == []
