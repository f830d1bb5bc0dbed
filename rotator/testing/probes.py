"""The contract of a probe."""

from __future__ import annotations

from typing import Any

import pytest

from rotator.errors import Rejected
from rotator.model import Credential, single
from rotator.plugin import Foreseen, Probe
from rotator.testing.plugins import (
    NO_ANSWER,
    PluginContract,
    assert_findings,
    assert_hidden,
    assert_named,
    missing,
    text_of,
)


class ProbeContract(PluginContract):
    """What the engine relies on in every probe.

    Fixtures of the subclass:

    - `uses`: the name by which playbooks use the plugin.
    - `probe`: the plugin.
    - `good`: a credential that its service accepts.
    - `bad` (optional): one that it refuses; without it, a made-up text.
    - `unreachable` (optional): the plugin, where its service does not answer.
    """

    kind = "probe"

    @pytest.fixture
    def probe(self) -> Any:
        raise missing(self, "probe")

    @pytest.fixture
    def good(self) -> Credential:
        raise missing(self, "good")

    @pytest.fixture
    def bad(self) -> Credential:
        return single("a-key-that-nobody-has-made")

    @pytest.fixture
    def plugin(self, probe: Any) -> Any:
        return probe

    def test_a_key_that_works_passes_and_one_that_does_not_is_rejected(
        self, probe: Probe, good: Credential, bad: Credential
    ) -> None:
        """Whatever it was asked before: it is asked about several keys in turn."""
        for _ in range(2):
            probe.probe(good)
            with pytest.raises(Rejected):
                probe.probe(bad)

    def test_no_text_shows_a_value(self, probe: Probe, bad: Credential) -> None:
        assert_named(probe)
        with pytest.raises(Rejected) as rejected:
            probe.probe(bad)
        findings = probe.preflight() if isinstance(probe, Foreseen) else []
        assert_findings(findings)
        texts = [probe.name, repr(probe), text_of(rejected.value)]
        texts += [f"{finding.text} {finding.hint}" for finding in findings]
        assert_hidden(texts, [value.reveal() for value in bad.values.values()])

    def test_a_service_that_does_not_answer_is_not_a_refusal(
        self, unreachable: Probe, good: Credential
    ) -> None:
        """A refusal of the new key undoes the rotation; one of the old key proves its end."""
        with pytest.raises(NO_ANSWER):
            unreachable.probe(good)
