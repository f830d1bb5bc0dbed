"""What every channel keeps: a notice arrives, a failure is told without the address, nothing is printed."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.errors import NotFound, PermanentError, PluginError, TransientError
from rotator.integrations.apprise.channel import Apprise
from rotator.integrations.webhook.channel import Webhook
from rotator.notices import outbox
from rotator.playbook.playbook import ChannelEntry
from rotator.plugin.channel import USUAL, Channel, Gone, Kind, Notice, without_address
from rotator.reference import Reference
from tests.receiver import SECRET, Receiver, mail_server, receiving

ADDRESS, KEY = Reference("env", "TOLD_URL"), Reference("env", "TOLD_SECRET")
NOTICE = Notice(
    "msg_1", Kind.ATTENTION, "one", 1_826_841_600.0, "one needs attention", "the disk is full"
)
CHANNELS = {
    "webhook": Webhook(url=ADDRESS, secret=KEY),
    "apprise": Apprise(url=ADDRESS),
}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as found:
        monkeypatch.setenv("TOLD_SECRET", SECRET)
        yield found


@pytest.fixture(params=CHANNELS)
def channel(
    request: pytest.FixtureRequest, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Channel:
    url = receiver.url
    if request.param == "apprise":  # its service "any address, as JSON"
        url = url.replace("http://", "json://")
    monkeypatch.setenv("TOLD_URL", url)
    found: Channel = CHANNELS[request.param]
    return found


def test_a_notice_arrives(channel: Channel, receiver: Receiver) -> None:
    channel.check()
    assert receiver.received == [], "a check sends nothing"
    channel.send(NOTICE)
    (one,) = receiver.received
    assert b"one needs attention" in one.body and b"the disk is full" in one.body
    assert one.path.startswith("/hook/T0ken-in-the-address")


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_whoever_does_not_take_it_is_told_without_the_address(
    channel: Channel, receiver: Receiver, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.answers = [status] * 5
    with pytest.raises(PluginError) as error:
        channel.send(NOTICE)
    assert "T0ken" not in f"{error.value.message}{error.value.hint}"
    assert not isinstance(error.value, Gone)
    assert capfd.readouterr() == ("", "")


def test_nobody_there_is_told_without_the_address(
    channel: Channel, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.close()
    with pytest.raises(PluginError) as error:
        channel.send(NOTICE)
    assert "T0ken" not in f"{error.value.message}{error.value.hint}"
    assert capfd.readouterr() == ("", "")


def test_what_it_refers_to_must_be_there(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOLD_URL")
    for act in (channel.check, lambda: channel.send(NOTICE)):
        with pytest.raises(NotFound, match="TOLD_URL is not set"):
            act()


def test_its_settings_show_no_secret(channel: Channel) -> None:
    assert "T0ken" not in repr(channel) and SECRET not in repr(channel)


def test_who_hangs_is_left_after_a_while(
    channel: Channel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "TRY", 0.2)
    receiver.answers = [-1] * 5
    error = outbox.tried(ChannelEntry("ops", channel, USUAL), NOTICE)
    assert error is not None and "T0ken" not in error.message


# --- webhooks ---
def test_a_webhook_is_what_another_implementation_verifies(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLD_URL", receiver.url)
    CHANNELS["webhook"].send(NOTICE)
    (one,) = receiver.received
    assert one.verified and one.id == "msg_1"
    assert one.headers["content-type"] == "application/json"
    assert json.loads(one.body) == {
        "type": "rotation.needs_attention",
        "timestamp": "2027-11-22T00:00:00+00:00",
        "data": {
            "playbook": "one",
            "kind": "needs attention",
            "title": "one needs attention",
            "text": "the disk is full",
        },
    }
    receiver.secret = f"whsec_{base64.b64encode(b'another key of enough bytes').decode()}"
    CHANNELS["webhook"].send(NOTICE)
    assert not receiver.received[-1].verified


def test_while_a_secret_changes_both_sign(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLD_URL", receiver.url)
    new = f"whsec_{base64.b64encode(b'a new one, with 24 bytes').decode()}"
    monkeypatch.setenv("NEW_SECRET", new)
    channel = Webhook(url=ADDRESS, secret=Reference("env", "NEW_SECRET"), former_secret=KEY)
    channel.send(NOTICE)
    receiver.secret = new
    channel.send(NOTICE)
    assert [one.verified for one in receiver.received] == [True, True]


def test_a_receiver_that_is_gone_is_gone(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLD_URL", receiver.url)
    receiver.answers = [410]
    with pytest.raises(Gone, match="answered 410"):
        CHANNELS["webhook"].send(NOTICE)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "does not begin with whsec_"),
        ("whsec_not base64!", "is not base64"),
        ("whsec_c2hvcnQ=", "is a key of 5 bytes"),
        (f"whsec_{base64.b64encode(b'x' * 65).decode()}", "is a key of 65 bytes"),
    ],
)
def test_what_is_no_secret_of_a_webhook_is_told_and_not_shown(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, secret: str, why: str
) -> None:
    monkeypatch.setenv("TOLD_URL", receiver.url)
    monkeypatch.setenv("TOLD_SECRET", secret)
    with pytest.raises(PermanentError) as error:
        CHANNELS["webhook"].check()
    assert why in error.value.message and secret not in error.value.message


@pytest.mark.parametrize("url", ["hooks.example.com/T0ken", "ftp://T0ken@example.com"])
def test_what_is_no_address_of_a_webhook_is_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TOLD_URL", url)
    with pytest.raises(PermanentError, match="is no address of a webhook") as error:
        CHANNELS["webhook"].check()
    assert "T0ken" not in error.value.message


@pytest.mark.parametrize(
    "url", ["http://[::1/T0ken-x", "http://exa mple/T0ken-x", "http:///T0ken-x"]
)
def test_an_address_that_cannot_be_used_is_told_without_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TOLD_URL", url)
    with pytest.raises(PluginError) as error:
        CHANNELS["webhook"].send(NOTICE)
    assert "T0ken" not in error.value.message


# --- apprise ---
def test_a_mail_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as (port, mails):
        address = f"mailto://localhost:{port}?from=rotator@example.com&to=ops@example.com"
        monkeypatch.setenv("TOLD_URL", f"{address}&mode=insecure")
        CHANNELS["apprise"].send(NOTICE)
    (mail,) = mails
    assert mail["Subject"] == "one needs attention" and "ops@example.com" in mail["To"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("hooks.slack.com/T0ken-x", "it has no ://"),
        ("slak://T0ken-x/b/c", "apprise knows no service 'slak'"),
        ("slack://T0ken-x", "is no address of 'slack' that apprise accepts"),
    ],
)
def test_an_address_that_apprise_does_not_understand_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], url: str, why: str
) -> None:
    monkeypatch.setenv("TOLD_URL", url)
    for act in (CHANNELS["apprise"].check, lambda: CHANNELS["apprise"].send(NOTICE)):
        with pytest.raises(PermanentError) as error:
            act()
        assert why in error.value.message and "T0ken" not in error.value.message
    assert capfd.readouterr() == ("", "")


def test_apprise_keeps_nothing_on_disk(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("TOLD_URL", receiver.url.replace("http://", "json://"))
    CHANNELS["apprise"].send(NOTICE)
    assert receiver.received and list(tmp_path.rglob("*")) == []


def test_a_service_of_apprise_that_fails_in_itself_is_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.custom_json import NotifyJSON

    def fails(*_: object, **__: object) -> bool:
        raise ZeroDivisionError(f"at {receiver.url}")

    monkeypatch.setattr(NotifyJSON, "notify", fails)
    monkeypatch.setenv("TOLD_URL", receiver.url.replace("http://", "json://"))
    with pytest.raises(TransientError, match="ZeroDivisionError") as error:
        CHANNELS["apprise"].send(NOTICE)
    assert "T0ken" not in error.value.message


def test_without_the_package_it_is_refused_with_the_way_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    from rotator.errors import ConfigError

    with pytest.raises(ConfigError, match="need the package apprise") as error:
        Apprise(url=ADDRESS)
    assert "notify" in error.value.hint or "apprise" in error.value.hint


def test_words_lose_an_address_and_its_parts() -> None:
    said = "POST https://hooks.slack.com/services/T0123456/B0123456/abcdefgh: 403"
    cleaned = without_address(said, "slack://T0123456/B0123456/abcdefgh")
    assert cleaned == "POST https://hooks.slack.com/services/***/***/***: 403"
