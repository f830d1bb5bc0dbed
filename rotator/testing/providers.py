"""The contract of a provider whose keys rotator makes and destroys."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from rotator.core.identity import ENOUGH, agreement
from rotator.errors import Rejected, RotatorError, Unsupported
from rotator.model import Credential, KeyRecord, Label, NotYet, Overlap, Recovery
from rotator.plugin import Provider
from rotator.testing.plugins import (
    NO_ANSWER,
    PluginContract,
    assert_findings,
    assert_hidden,
    missing,
    text_of,
    wait_until,
)

LABEL = Label("kit", "play", "01ROTATION", 1)
NEXT_LABEL = Label("kit", "play", "01ROTATION", 2)


class ProviderContract(PluginContract):
    """What the engine relies on in every provider that makes keys.

    Fixtures of the subclass:

    - `uses`: the name by which playbooks use the plugin.
    - `provider`: the plugin, at a service that has no key of it yet.
    - `unreachable` (optional): the plugin, where its service does not answer.

    `patience`: seconds until a list shows a new key, beside the plugin's own `list_lag`, and until
    a key works or is refused, beside its `propagation` and `revocation`.
    """

    kind = "provider"
    patience: ClassVar[float] = 5.0

    @pytest.fixture
    def provider(self) -> Any:
        raise missing(self, "provider")

    @pytest.fixture
    def plugin(self, provider: Any) -> Any:
        return provider

    def test_a_new_key_works_and_a_revoked_one_does_not(self, provider: Provider) -> None:
        key = create(provider)
        self.becomes(provider, key, accepted=True)
        provider.revoke(key)
        self.becomes(provider, key, accepted=False)
        provider.revoke(key)  # already gone is success

    def test_a_new_key_is_one_of_its_keys(self, provider: Provider) -> None:
        """By the same words a key that a person gives is judged."""
        key = create(provider)
        assert tuple(key.values) == tuple(provider.fields)
        assert provider.looks_right(key.primary) == ""
        text, signs = key.primary.reveal(), provider.signs()
        assert text and text == text.strip()
        assert not signs or set(text) <= set(signs)
        assert text.startswith(provider.literal_prefix(key.primary))

    def test_a_new_key_is_found_again_where_its_answer_was_lost(self, provider: Provider) -> None:
        """By the way that `recovery` names."""
        before = self.ids(provider)
        key = create(provider)
        if provider.recovery is Recovery.REREAD:
            next_key = create(provider, NEXT_LABEL, key)
            found = provider.reread(key)
            assert found is not None and found.primary == next_key.primary
        if provider.can_list:
            record = self.listed(provider, key)
            assert record.id not in before
            if provider.recovery is Recovery.LABEL:
                assert record.label == LABEL.text
                assert Label.parse(record.label) == LABEL

    def test_a_list_is_offered_or_not(self, provider: Provider) -> None:
        key = create(provider)
        if not provider.can_list:
            with pytest.raises(Unsupported):
                provider.inventory()
            return
        assert self.listed(provider, key).active
        provider.revoke(key)
        wait_until(
            lambda: key.id not in self.ids(provider, active=True),
            provider.list_lag + provider.revocation + self.patience,
        )

    def test_two_keys_overlap_as_it_says(self, provider: Provider) -> None:
        """The old key goes on working beside the new one, and outlives the new one's end."""
        old = create(provider)
        new = create(provider, NEXT_LABEL, old)
        assert new.primary != old.primary
        self.becomes(provider, new, accepted=True)
        self.becomes(provider, old, accepted=provider.overlap is not Overlap.NONE)
        if provider.overlap is not Overlap.NONE:
            provider.revoke(new)
            self.becomes(provider, new, accepted=False)
            assert self.accepts(provider, old)

    def test_a_key_is_revoked_by_its_id_alone(self, provider: Provider) -> None:
        """A key that nobody took may be known by nothing else."""
        key = create(provider)
        other = create(provider, NEXT_LABEL, key)
        if key.id and provider.overlap is not Overlap.NONE:
            provider.revoke(Credential({}, key.id, key.hint))
            self.becomes(provider, key, accepted=False)
            assert self.accepts(provider, other)

    def test_deactivation_can_be_undone_or_is_not_offered(self, provider: Provider) -> None:
        key = create(provider)
        if not provider.can_deactivate:
            with pytest.raises(Unsupported):
                provider.deactivate(key)
            assert self.accepts(provider, key)
            return
        provider.deactivate(key)
        provider.deactivate(key)
        self.shows(provider, key, active=False)
        provider.reactivate(key)
        provider.reactivate(key)
        self.shows(provider, key, active=True)
        self.becomes(provider, key, accepted=True)

    def test_preflight_changes_nothing(self, provider: Provider) -> None:
        key = create(provider)
        before = self.ids(provider)
        assert_findings(provider.preflight())
        assert self.ids(provider) == before
        assert self.accepts(provider, key)

    def test_a_hint_matches_the_key_it_stands_for(self, provider: Provider) -> None:
        """By its hint a key in a store is found in the list, or by what stands beside it there."""
        key = create(provider)
        if not provider.can_list:
            return
        record = self.listed(provider, key)
        known_by_id = bool(key.id) and provider.id_of(provider.beside(key)) == key.id
        if record.hint and not known_by_id:
            literal = provider.literal_prefix(key.primary)
            assert (agreement(record, key.primary.reveal(), literal) or 0) >= ENOUGH

    def test_no_text_shows_a_value(self, provider: Provider) -> None:
        key = create(provider)
        texts = [repr(provider), repr(key), key.id, key.hint]
        texts += [f"{finding.text} {finding.hint}" for finding in provider.preflight()]
        texts += map(repr, provider.inventory() if provider.can_list else ())
        provider.revoke(key)
        try:
            provider.probe(key)
        except RotatorError as error:
            texts.append(text_of(error))
        assert_hidden(texts, [value.reveal() for value in key.values.values()])

    def test_a_service_that_does_not_answer_is_asked_again_later(
        self, unreachable: Provider
    ) -> None:
        """A refusal would prove a key's end; an empty list would hide what a lost create left."""
        key = Credential({}, "kitkey01234567890123")
        for call in (
            unreachable.inventory,
            lambda: unreachable.generate(LABEL, None),
            lambda: unreachable.revoke(key),
        ):
            with pytest.raises(NO_ANSWER):
                call()

    # --- what a subclass may see in another way ---
    def accepts(self, provider: Provider, credential: Credential) -> bool:
        """By the provider's own probe; a subclass asks the service where there is none."""
        try:
            provider.probe(credential)
        except Rejected:
            return False
        return True

    def shows(self, provider: Provider, credential: Credential, *, active: bool) -> None:
        """Waits until its service has taken over that the key is switched on or off."""
        if provider.can_list:
            seconds = provider.list_lag + self.patience
            wait_until(
                lambda: (credential.id in self.ids(provider, active=True)) is active, seconds
            )
        self.becomes(provider, credential, accepted=active)

    # --- as the engine does ---
    def becomes(self, provider: Provider, credential: Credential, *, accepted: bool) -> None:
        lag = provider.propagation if accepted else provider.revocation
        wait_until(lambda: self.accepts(provider, credential) is accepted, lag + self.patience)

    def listed(self, provider: Provider, credential: Credential) -> KeyRecord:
        seconds = provider.list_lag + self.patience
        wait_until(lambda: credential.id in self.ids(provider), seconds)
        return next(record for record in provider.inventory() if record.id == credential.id)

    def ids(self, provider: Provider, *, active: bool = False) -> set[str]:
        """Of the keys that it lists, or of the active ones; none where it cannot list."""
        records = provider.inventory() if provider.can_list else []
        return {record.id for record in records if record.active or not active}


def create(provider: Provider, label: Label = LABEL, like: Credential | None = None) -> Credential:
    """A new key. Raises AssertionError for a provider that answers later."""
    answer = provider.generate(label, like)
    assert not isinstance(answer, NotYet), "the kit is for providers that answer at once"
    return answer
