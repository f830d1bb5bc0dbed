"""Long-term API keys of Bedrock: two of a user, switched off and on, and who signs for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    ConfigError,
    OutcomeUnknown,
    PermanentError,
    QuotaExceeded,
    Rejected,
    Unsupported,
)
from rotator.integrations.aws.bedrock import AwsBedrockProvider
from rotator.integrations.aws.iam import AwsIamProvider
from rotator.model import Credential, Label, Level, single
from rotator.reference import Reference
from rotator.testing.providers import ProviderContract
from tests.servers.service_keys import Iam, serving

pytest.importorskip("boto3", reason="the extra 'aws' is not installed")

LABEL = Label("inst", "play", "01ROTATION", 1)


def signing(folder: Path, name: str) -> dict[str, Reference]:
    """Credentials of a principal, as a playbook refers to them."""
    (folder / name).write_text(name)
    return dict.fromkeys(
        ("access_key_id", "secret_access_key"), Reference("file", str(folder / name))
    )


def at(url: str, folder: Path, **settings: Any) -> AwsBedrockProvider:
    return AwsBedrockProvider(
        user="app",
        region="eu-central-1",
        endpoint_url=url,
        bedrock_url=url,
        credentials=signing(folder, "AKIAFIRST"),
        **settings,
    )


@pytest.fixture
def iam() -> Iam:
    return Iam()


@pytest.fixture
def url(iam: Iam) -> Iterator[str]:
    with serving(iam) as found:
        yield found


class TestKit(ProviderContract):
    @pytest.fixture
    def uses(self) -> str:
        return "aws-bedrock"

    @pytest.fixture
    def provider(self, url: str, tmp_path: Path) -> AwsBedrockProvider:
        return at(url, tmp_path)

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> AwsBedrockProvider:
        return at("http://127.0.0.1:9", tmp_path)


def test_the_third_key_has_no_place(iam: Iam, url: str, tmp_path: Path) -> None:
    provider = at(url, tmp_path)
    for number in range(provider.quota):
        provider.generate(Label("i", "p", "r", number), None)
    assert provider.preflight()[0].text == "2 of 2 keys"
    with pytest.raises(QuotaExceeded):
        provider.generate(LABEL, None)
    assert len(iam.keys) == 2


def test_a_key_of_the_store_is_known_by_its_alias(iam: Iam, url: str, tmp_path: Path) -> None:
    one, two = iam.make(), iam.make()
    provider = at(url, tmp_path)
    assert provider.id_told(single(two.value)) == two.id
    assert provider.id_told(single("ABSK" + "A" * 40)) == provider.id_told(single("other")) == ""
    assert provider.id_told(single("ABSK=")) == ""
    two.alias = one.alias
    assert provider.id_told(single(one.value)) == "", "two of them bear it"


def test_what_a_lost_answer_left_is_what_was_not_there_before(
    iam: Iam, url: str, tmp_path: Path
) -> None:
    old, provider = iam.make(), at(url, tmp_path)
    iam.lose_answers = 1
    with pytest.raises(OutcomeUnknown):
        provider.generate(LABEL, None)
    (left,) = {one.id for one in provider.inventory()} - {old.id}
    provider.revoke(Credential({}, left))
    assert list(iam.keys) == [old.id]


def test_a_key_may_have_an_end(iam: Iam, url: str, tmp_path: Path) -> None:
    made = at(url, tmp_path, lifetime=89.5 * 86_400).generate(LABEL, None)
    assert isinstance(made, Credential) and made.expires_at is not None
    assert [one.get("CredentialAgeDays") for one in iam.asked] == ["90"]
    for wrong in (3600.0, 40_000 * 86_400.0):
        with pytest.raises(ConfigError, match="1 to 36600 days"):
            at(url, tmp_path, lifetime=wrong)
    with pytest.raises(ConfigError, match="no region"):
        dataclasses.replace(at(url, tmp_path), region="x/y")


def test_a_list_of_several_pages_is_read_to_its_end(iam: Iam, url: str, tmp_path: Path) -> None:
    iam.page, provider = 1, at(url, tmp_path)
    keys = {iam.make().id, iam.make().id}
    assert {one.id for one in provider.inventory()} == keys
    iam.stands_still = True
    with pytest.raises(PermanentError, match="does not get on"):
        provider.inventory()


def test_a_refusal_is_told_from_a_missing_permission(iam: Iam, url: str, tmp_path: Path) -> None:
    """A key that may not list models is alive."""
    key, provider = iam.make(), at(url, tmp_path)
    iam.may_list_models = False
    provider.probe(single(key.value))
    key.status = "Inactive"
    with pytest.raises(Rejected):
        provider.probe(single(key.value))
    with pytest.raises(Unsupported):
        provider.probe(Credential({}, key.id))
    with pytest.raises(PermanentError, match="cannot stand in a header"):
        provider.probe(single("ABSK a"))


def test_keys_are_tried_in_the_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rotator.clients import http

    asked: list[str] = []

    def send(request: http.Request) -> http.Answer:
        asked.append(request.url)
        return http.Answer(403, {}, b'{"message": "who knows"}')

    monkeypatch.setattr(http, "send", send)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    for region in ("us-west-2", None):
        with pytest.raises(AccessDenied, match="who knows"):  # neither alive nor dead
            AwsBedrockProvider(user="app", region=region).probe(single("ABSKabcd"))
    hosts = ["https://bedrock.us-west-2.amazonaws.com", "https://bedrock.eu-north-1.amazonaws.com"]
    assert asked == [f"{host}/foundation-models" for host in hosts]
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no region"):
        AwsBedrockProvider(user="app").probe(single("ABSKabcd"))


# --- who signs ---
def test_a_second_principal_signs_where_the_first_is_denied(
    iam: Iam, url: str, tmp_path: Path
) -> None:
    """As the user of a leaked key is, by AWS's quarantine: its key is replaced all the same."""
    iam.denied = {"AKIAFIRST"}
    leaked, alone = iam.make(), at(url, tmp_path)
    for act in (alone.inventory, lambda: alone.generate(LABEL, None)):
        with pytest.raises(AccessDenied):
            act()
    both = at(url, tmp_path, second_credentials=signing(tmp_path, "AKIASECOND"))
    made = both.generate(LABEL, None)
    assert isinstance(made, Credential)
    both.deactivate(Credential({}, leaked.id))
    both.revoke(Credential({}, leaked.id))
    assert list(iam.keys) == [made.id]


def test_a_second_principal_that_may_not_is_told_before_the_start(
    iam: Iam, url: str, tmp_path: Path
) -> None:
    iam.denied = {"AKIASECOND"}
    both = at(url, tmp_path, second_credentials=signing(tmp_path, "AKIASECOND"))
    with pytest.raises(AccessDenied):
        both.preflight()
    iam.denied = set()
    assert "a second principal can sign" in [one.text for one in both.preflight()]


@pytest.mark.parametrize(("who", "told"), [("app", True), ("path/app", True), ("admin", False)])
def test_a_user_that_replaces_its_own_key_is_warned(
    iam: Iam, url: str, tmp_path: Path, who: str, told: bool
) -> None:
    iam.signs_as = who
    warned = [one for one in at(url, tmp_path).preflight() if one.level is Level.WARNING]
    assert [("second_credentials" in one.hint) for one in warned] == [True] * told


def test_an_access_key_that_signs_for_itself_is_warned(tmp_path: Path) -> None:
    from tests.servers import moto

    with moto.running() as aws:
        aws.client("iam").create_user(UserName="app")
        key_id, secret = aws.user("app2")
        references = {}
        for name, value in (("access_key_id", key_id), ("secret_access_key", secret)):
            (tmp_path / name).write_text(value)
            references[name] = Reference("file", str(tmp_path / name))
        own = AwsIamProvider(
            user="app2", region=moto.REGION, endpoint_url=aws.url, credentials=references
        )
        assert ["Quarantine" in one.text for one in own.preflight()][-1]
        second = dataclasses.replace(own, second_credentials=references)
        assert [one.text for one in second.preflight()][-1] == "a second principal can sign"
