"""What every provider must do; later ones join by a line in PROVIDERS."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rotator.errors import (
    AccessDenied,
    OutcomeUnknown,
    PermanentError,
    QuotaExceeded,
    TransientError,
    Unreadable,
)
from rotator.integrations.aws.iam import AwsIamProvider
from rotator.integrations.catalog import entry as catalog_entry
from rotator.integrations.catalog.shipped import key_patterns, shipped
from rotator.integrations.memory import world as memory
from rotator.model import Credential, Label, Overlap, Recovery
from rotator.playbook.registry import Registry
from rotator.reference import Reference
from rotator.secret import Secret
from rotator.testing.providers import LABEL, ProviderContract
from tests.servers import issuers, moto

NOON = 1793534400.0  # 2026-11-01T12:00:00Z
# Run by `python -IS`: without site-packages a program starts three times as fast, and what starts
# coverage in each Python is none of its business.
_SCRIPT = """
import fcntl, json, os, pathlib, sys
store = pathlib.Path(sys.argv[2])
lock = open(f'{store}.lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX)  # playbooks share it, side by side
keys = json.loads(store.read_text()) if store.exists() else {}
match sys.argv[1]:
    case 'generate':
        i = f'k{len(keys)}'
        keys[i] = dict(label=os.environ['ROTATOR_LABEL'], value=f'cmd-secret-value-{i}', alive=True)
        print(json.dumps(dict(key=keys[i]['value'], id=i)))
    case 'list': print(json.dumps([dict(id=i, label=k['label']) for i, k in keys.items() if k['alive']]))
    case 'revoke':
        if os.environ['ROTATOR_KEY_ID'] in keys: keys[os.environ['ROTATOR_KEY_ID']]['alive'] = False
    case 'probe':
        key = sys.stdin.read()
        sys.exit(0 if any(k['value'] == key and k['alive'] for k in keys.values()) else 77)
store.write_text(json.dumps(keys))
"""


def _find(name: str) -> Any:
    return Registry().find("provider", name)


@contextlib.contextmanager
def _openai(tmp_path: Path) -> Iterator[Any]:
    os.environ["DEMO_ADMIN_KEY"] = issuers.ADMIN
    port = tmp_path / "port"
    process = subprocess.Popen([sys.executable, "-m", "rotator.demo.issuer", str(port)])
    try:
        while not port.exists():
            time.sleep(0.01)
        yield _find("openai")(
            project="proj_1",
            admin_key=Reference("env", "DEMO_ADMIN_KEY"),
            base_url=f"http://127.0.0.1:{port.read_text()}/v1",
        )
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _openai_account(tmp_path: Path) -> Iterator[Any]:
    with _openai(tmp_path) as provider:
        yield _find("openai")(
            project="proj_1",
            admin_key=provider.admin_key,
            base_url=provider.base_url,
            service_account="svc_mine",
        )


@contextlib.contextmanager
def _openrouter(tmp_path: Path) -> Iterator[Any]:
    os.environ["DEMO_ADMIN_KEY"] = issuers.ADMIN
    with issuers.serving(issuers.OpenRouter) as url:
        yield _find("openrouter")(management_key=Reference("env", "DEMO_ADMIN_KEY"), base_url=url)


@contextlib.contextmanager
def _dakora(tmp_path: Path) -> Iterator[Any]:
    os.environ["DEMO_ADMIN_KEY"] = issuers.ADMIN
    with issuers.serving(issuers.Dakora) as url:
        yield _find("dakora")(project="p1", token=Reference("env", "DEMO_ADMIN_KEY"), base_url=url)


@contextlib.contextmanager
def _command(tmp_path: Path) -> Iterator[Any]:
    script = tmp_path / "keys.py"
    script.write_text(_SCRIPT)
    argv = {
        verb: [sys.executable, "-IS", str(script), verb, str(tmp_path / "keys.json")]
        for verb in ("generate", "list", "revoke", "probe")
    }
    yield _find("command")(
        generate_argv=argv["generate"],
        list_argv=argv["list"],
        revoke_argv=argv["revoke"],
        probe_argv=argv["probe"],
    )


def _memory(**settings: Any) -> Callable[[Path], contextlib.AbstractContextManager[Any]]:
    @contextlib.contextmanager
    def make(tmp_path: Path) -> Iterator[Any]:
        memory.WORLD.issuers.pop("contract", None)
        yield _find("memory")(issuer="contract", **settings)

    return make


@contextlib.contextmanager
def _aws_iam(tmp_path: Path) -> Iterator[Any]:
    with moto.running() as aws:
        aws.client("iam").create_user(UserName="app")
        signing = {"access_key_id": aws.access_key_id, "secret_access_key": aws.secret_access_key}
        references = {}
        for name, value in signing.items():
            (tmp_path / name).write_text(value)
            references[name] = Reference("file", str(tmp_path / name))
        yield _find("aws-iam")(
            user="app", region=moto.REGION, endpoint_url=aws.url, credentials=references
        )


PROVIDERS = {
    "aws-iam": _aws_iam,
    "openai": _openai,
    "openai, one account": _openai_account,
    "openrouter": _openrouter,
    "dakora": _dakora,
    "command": _command,
    "memory": _memory(),
    "memory, switches": _memory(can_deactivate=True),
    "memory, two slots": _memory(overlap=Overlap.TWO_SLOTS, recovery=Recovery.REREAD),
    "memory, one at a time": _memory(overlap=Overlap.NONE),
    "memory, difference": _memory(recovery=Recovery.DIFFERENCE, can_deactivate=True),
}


def _without_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """The provider, where nothing listens, or whose programs ask to be run again later."""
    monkeypatch.setenv("DEMO_ADMIN_KEY", issuers.ADMIN)
    admin, url = Reference("env", "DEMO_ADMIN_KEY"), "http://127.0.0.1:9"
    if name == "aws-iam":
        signing = {"access_key_id": admin, "secret_access_key": admin}
        settings = {"user": "app", "region": moto.REGION, "credentials": signing}
        return _find(name)(**settings, endpoint_url=url)
    if name == "command":
        later = ["sh", "-c", "exit 75"]
        return _find(name)(generate_argv=later, list_argv=later, revoke_argv=later)
    if name == "openrouter":
        return _find(name)(management_key=admin, base_url=url)
    if name == "dakora":
        return _find(name)(project="p1", token=admin, base_url=url)
    return _find(name)(project="proj_1", admin_key=admin, base_url=url)


class TestProviders(ProviderContract):
    @pytest.fixture(params=PROVIDERS, ids=lambda name: name)
    def provider(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
        with PROVIDERS[request.param](tmp_path) as provider:
            yield provider

    @pytest.fixture(params=["aws-iam", "openai", "openrouter", "dakora", "command"])
    def unreachable(
        self,
        request: pytest.FixtureRequest,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Any:
        return _without_service(tmp_path, monkeypatch, request.param)

    @pytest.fixture
    def uses(self, request: pytest.FixtureRequest) -> str:
        params = request.node.callspec.params
        return str(params.get("provider", params.get("unreachable"))).split(",")[0]

    def shows(self, provider: Any, credential: Credential, *, active: bool) -> None:
        """moto goes on accepting inactive keys: its list tells."""
        if isinstance(provider, AwsIamProvider):
            assert (credential.id in self.ids(provider, active=True)) is active
        else:
            super().shows(provider, credential, active=active)


def test_a_wrong_administrators_key_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _openrouter(tmp_path) as provider:
        monkeypatch.setenv("DEMO_ADMIN_KEY", "wrong-credential")
        with pytest.raises(AccessDenied, match="management_key"):
            provider.inventory()


@pytest.mark.parametrize(
    ("make", "quota"), [(_dakora, 4), (_aws_iam, 2)], ids=["dakora", "aws-iam"]
)
def test_a_quota_is_declared_and_meant(make: Any, quota: int, tmp_path: Path) -> None:
    """So that it is known before the start whether there is room."""
    with make(tmp_path) as provider:
        assert provider.quota == quota
        for number in range(quota):
            provider.generate(Label("i", "p", "r", number), None)
        assert f"{quota} of {quota} keys" in provider.preflight()[0].text
        with pytest.raises(QuotaExceeded):
            provider.generate(LABEL, None)


def test_a_service_account_of_one_key_goes_with_it(tmp_path: Path) -> None:
    """Rotating must not fill the project with empty accounts."""
    with _openai(tmp_path) as provider:
        made = provider.generate(LABEL, None)
        assert provider._owner(made.id).startswith("svc_")
        provider.revoke(made)
        assert provider.inventory() == []


def test_every_request_to_openai_is_in_its_specification() -> None:
    """Method, path and body of each catalog request against the vendor's OpenAPI."""
    spec = json.loads((Path(__file__).parent.parent / "specs" / "openai-admin.json").read_text())
    entry = catalog_entry.entry_at(shipped()["openai"])
    names = {
        "{project}": "{project_id}",
        "{id}": "{api_key_id}",
        "{owner}": "{service_account_id}",
        "{service_account}": "{service_account_id}",
    }
    checked = 0
    for case in (*entry.create, entry.list_, *entry.revoke):
        path = case.request.path
        for ours, theirs in names.items():
            path = path.replace(ours, theirs)
        operation = spec["paths"][path][case.request.method.lower()]
        body = (
            operation.get("requestBody", {})
            .get("content", {})
            .get("application/json", {})
            .get("schema")
        )
        if body and case.request.json_body:
            resolver = {**body, "components": spec["components"]}
            jsonschema.validate({"name": LABEL.text}, resolver)
        checked += 1
    assert checked == 5


class TestOperator:
    """A person supplies the key."""

    provider = _find("operator")(pattern=r"sk-[a-z0-9]{12,}")

    def test_blanks_and_line_ends_around_it_are_taken_off(self) -> None:
        made = self.provider.accept(Secret("  sk-abcdef123456789 \r\n"), None)
        assert made.primary.reveal() == "sk-abcdef123456789"

    def test_a_line_end_inside_is_not_guessed_away(self) -> None:
        """It may be a key that was cut, or a note below it."""
        with pytest.raises(PermanentError, match="2 lines"):
            self.provider.accept(Secret("sk-abcdef123456789\nabc"), None)

    @pytest.mark.parametrize(
        "text", ["", "sk-short", "ghp_abcdefghijklmnop", "sk-ABCDEFGHIJKLMNOP"]
    )
    def test_what_does_not_look_like_a_key_is_refused(self, text: str) -> None:
        with pytest.raises(PermanentError):
            self.provider.accept(Secret(text), None)

    def test_the_old_key_is_refused(self) -> None:
        old = self.provider.accept(Secret("sk-abcdef123456789"), None)
        with pytest.raises(PermanentError, match="old key"):
            self.provider.accept(Secret("sk-abcdef123456789\n"), old)


class TestCommand:
    """What a user's own program prints is read as strictly as an issuer's answer, and told as
    little of.
    """

    @staticmethod
    def _of(tmp_path: Path, generate: str, listed: str | None = None) -> Any:
        def argv(name: str, text: str) -> list[str]:
            path = tmp_path / name
            path.write_text(f"import sys\n{text}\n")
            return [sys.executable, str(path)]

        found = None if listed is None else argv("list.py", f"print({listed!r})")
        return _find("command")(generate_argv=argv("generate.py", generate), list_argv=found)

    def test_a_bare_key_will_do_where_there_is_no_list(self, tmp_path: Path) -> None:
        made = self._of(tmp_path, "print('cmd-8f3k2m9x7q')").generate(LABEL, None)
        assert (made.primary.reveal(), made.id) == ("cmd-8f3k2m9x7q", "")

    @pytest.mark.parametrize(
        "printed", ["cmd-8f3k2m9x7q", '{"key": "cmd-8f3k2m9x7q"}', '{"key": "cmd-0", "id": ".."}']
    )
    def test_a_key_without_an_id_is_refused_where_there_is_a_list(
        self, printed: str, tmp_path: Path
    ) -> None:
        """Nobody could tell which of the listed keys it is."""
        with pytest.raises(Unreadable, match="without its id") as told:
            self._of(tmp_path, f"print({printed!r})", "[]").generate(LABEL, None)
        assert (
            "the id that the `list` command prints" in told.value.hint
            and "cmd-0" not in told.value.message
        )

    def test_an_id_may_be_a_number(self, tmp_path: Path) -> None:
        made = self._of(tmp_path, """print('{"key": "cmd-8f3k2m9x7q", "id": 7}')""", "[]").generate(
            LABEL, None
        )
        assert made.id == "7"

    @pytest.mark.parametrize(
        "printed",
        [
            "",
            "{",
            '{"key": ""}',
            '{"key": null}',
            '{"key": 7}',
            '{"kye": "cmd-secret"}',
            "making a key…\ncmd-secret",
        ]
        + [
            "cmd secret",
            "cmd-s\u00e9cret",
            '{"key": "cmd-secret", "id": 1',
            r'{"key": "cmd-secret\u0000"}',
        ],
    )
    def test_what_is_no_key_is_told_without_showing_it(self, printed: str, tmp_path: Path) -> None:
        with pytest.raises(Unreadable) as told:
            self._of(tmp_path, f"sys.stdout.buffer.write({printed.encode()!r})").generate(
                LABEL, None
            )
        words = (told.value.message + told.value.hint).replace(sys.executable, "python")
        assert "secret" not in words

    def test_what_is_not_utf_8_is_no_key(self, tmp_path: Path) -> None:
        with pytest.raises(Unreadable, match="UTF-8"):
            self._of(tmp_path, r"sys.stdout.buffer.write(b'cmd-\xff')").generate(LABEL, None)

    def test_a_certificate_may_have_lines(self, tmp_path: Path) -> None:
        made = self._of(tmp_path, r"""print('{"key": "-----BEGIN\\nKEY-----"}')""").generate(
            LABEL, None
        )
        assert made.primary.reveal() == "-----BEGIN\nKEY-----"

    @pytest.mark.parametrize(("code", "kind"), [(1, OutcomeUnknown), (75, TransientError)])
    def test_a_program_that_printed_a_key_and_failed_does_not_tell_it(
        self, code: int, kind: type[Exception], tmp_path: Path
    ) -> None:
        with pytest.raises(kind) as told:
            self._of(tmp_path, f"print('cmd-8f3k2m9x7q'); sys.exit({code})").generate(LABEL, None)
        assert "cmd-8f3k2m9x7q" not in str(told.value)

    def test_dates_are_read_in_any_form_and_active_in_words(self, tmp_path: Path) -> None:
        listed = """[{"id": 1, "label": "a", "created_at": "2026-11-01T12:00:00Z", "last_used_at": 1793534400000},
            {"id": "2", "active": "false", "created_at": "soon", "expires_at": "Sun, 01 Nov 2026 12:00:00 GMT"}]"""
        one, two = self._of(tmp_path, "", listed).inventory()
        assert (one.id, one.label, one.created_at, one.last_used_at, one.active) == (
            "1",
            "a",
            NOON,
            NOON,
            True,
        )
        assert (two.id, two.created_at, two.expires_at, two.active) == ("2", None, NOON, False)

    @pytest.mark.parametrize(
        "listed", ["{}", "7", "x", '[{"label": "a"}]', "[7]", '[{"id": null}]', '[{"id": ".."}]']
    )
    def test_a_list_that_cannot_be_read_is_not_an_empty_one(
        self, listed: str, tmp_path: Path
    ) -> None:
        with pytest.raises(PermanentError):
            self._of(tmp_path, "", listed).inventory()


def test_the_redactor_knows_every_shipped_pattern() -> None:
    """A fast text search finds what the parsed entries say."""
    parsed = [catalog_entry.entry_at(path).pattern for path in shipped().values()]
    assert key_patterns() == [pattern for pattern in parsed if pattern]


def test_a_catalog_says_whether_and_how_late_the_last_use_is_told() -> None:
    """The quiet step rests on it: told by the minute, a key in use this second was last used a
    minute ago.
    """
    entries = {name: catalog_entry.entry_at(path) for name, path in shipped().items()}
    told = {
        name: bool(entry.list_ and entry.list_.each.last_used) for name, entry in entries.items()
    }
    assert {name for name, tells in told.items() if tells} == {
        "dakora",
        "mistral",
        "openai",
        "openai-admin",
    }
    assert {name: bool(entry.last_used) for name, entry in entries.items()} == told
