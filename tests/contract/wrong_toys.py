"""Acme's plugins, each with one wrong behaviour that a contract forbids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_FROZEN = ("frozen=True, kw_only=True", "kw_only=True")
_KEEPS_SETTINGS = "test_it_is_found_by_its_name_and_keeps_its_settings"
_NO_TEXT = "test_no_text_shows_a_value"
_ASKED_AGAIN = "test_a_system_that_does_not_answer_is_asked_again_later"
_NO_ANSWER = 'raise TransientError(f"acme does not answer: {self.folder} is not there")'


@dataclass(frozen=True)
class WrongToy:
    """`edits` of the plugin's module: what stands there, and the wrong text; `test` notices it.

    `of_service` are such edits of the service's module.
    """

    kind: str
    what: str
    test: str
    edits: Sequence[tuple[str, str]] = ()
    of_service: Sequence[tuple[str, str]] = ()


STORES = [
    WrongToy(
        "store",
        "its answer has a text for a number",
        "test_what_was_written_is_read_back",
        [('str(entry["version"]))', 'str(entry["version"]), written_at="2026-01-01")')],
    ),
    WrongToy("store", "its settings can be changed", _KEEPS_SETTINGS, [_FROZEN]),
    WrongToy(
        "store",
        "it writes another text",
        "test_what_was_written_is_read_back",
        [("value = credential.primary.reveal()", "value = credential.primary.reveal()[:-1]")],
    ),
    WrongToy(
        "store",
        "it replaces a newer version",
        "test_a_write_over_a_newer_version_is_a_conflict",
        [('if str(entry.get("version", "")) != expect:', "if False:")],
    ),
    WrongToy(
        "store",
        "it replaces what it did not expect",
        "test_a_write_that_expects_nothing_there_replaces_nothing",
        [
            (
                'if str(entry.get("version", "")) != expect:',
                'if expect and str(entry.get("version", "")) != expect:',
            )
        ],
    ),
    WrongToy(
        "store",
        "it counts its own writes only",
        "test_a_value_of_somebody_else_is_read_and_not_replaced",
        [
            ('str(entry["version"])', 'str(entry.get("ours", 0))'),
            ('str(entry.get("version", ""))', '(str(entry.get("ours", 0)) if entry else "")'),
            ('entry.get("version", 0) + 1', 'entry.get("ours", 0) + 1'),
            ('"version": version}', '"version": version, "ours": version}'),
        ],
    ),
    WrongToy(
        "store",
        "what holds nothing holds an empty key",
        "test_a_place_that_holds_nothing_is_filled_and_no_other",
        [("            return None", '            return Held({"key": Secret("")}, "")')],
    ),
    WrongToy(
        "store",
        "the same value is the same version",
        "test_writing_the_same_value_again_is_another_version",
        [
            (
                'entry.get("version", 0) + 1',
                'entry.get("version", 0) + (entry.get("value") != credential.primary.reveal())',
            )
        ],
    ),
    WrongToy(
        "store",
        "it takes no value twice",
        "test_the_old_value_can_be_put_back",
        [
            (
                '        self._service.save(self.secret, {"value": value, "version": version})',
                '        seen = [*entry.get("seen", []), entry.get("value", "")]\n'
                "        if value in seen:\n"
                '            raise Conflict("a value of the past")\n'
                '        saved = {"value": value, "version": version, "seen": seen}\n'
                "        self._service.save(self.secret, saved)",
            )
        ],
    ),
    WrongToy(
        "store",
        "retiring an old version removes the present one",
        "test_retiring_an_old_version_leaves_the_present_value",
        [('"""A secret of Acme has one version only."""', "self._service.save(self.secret, {})")],
    ),
    WrongToy(
        "store",
        "tidying removes the value",
        "test_tidying_leaves_the_present_value",
        [('"""One request writes all."""', "self._service.save(self.secret, {})")],
    ),
    WrongToy(
        "store",
        "its preflight tries a write",
        "test_preflight_changes_nothing",
        [
            (
                "        self._service.load(self.secret)\n        return",
                "        entry = self._service.load(self.secret)\n"
                '        self._service.save(self.secret, {**entry, "version": 7})\n'
                "        return",
            )
        ],
    ),
    WrongToy(
        "store",
        "its conflict shows the value",
        _NO_TEXT,
        [('raise Conflict(f"{self.name} was', "raise Conflict(f\"{entry['value']} was")],
    ),
    WrongToy(
        "store",
        "a service that does not answer is a bare OSError",
        _ASKED_AGAIN,
        of_service=[(_NO_ANSWER, "raise ConnectionRefusedError(self.folder)")],
    ),
]

RESTARTERS = [
    WrongToy(
        "restarter",
        "it answers a restart with a yes",
        "test_a_repeated_restart_of_one_change_restarts_nothing_more",
        [
            (
                "def restart(self, change: Change) -> None:",
                "def restart(self, change: Change) -> None:\n        self._restart(change)\n        return True\n\n    def _restart(self, change: Change) -> None:",
            )
        ],
    ),
    WrongToy("restarter", "its settings can be changed", _KEEPS_SETTINGS, [_FROZEN]),
    WrongToy(
        "restarter",
        "it has converged before anything was restarted",
        "test_a_restart_converges_and_shows_its_evidence",
        [("current, current == seen.total, seen", "current, True, seen")],
    ),
    WrongToy(
        "restarter",
        "it restarts again for the same change",
        "test_a_repeated_restart_of_one_change_restarts_nothing_more",
        [('if running["started_at"] > change.since:', "if False:")],
    ),
    WrongToy(
        "restarter",
        "it shows what instances should hold",
        "test_what_instances_hold_is_read_and_not_assumed",
        [
            (
                'Secret(running["holds"]))',
                'next(iter(change.credential.values.values()), Secret(running["holds"])))',
            )
        ],
    ),
    WrongToy(
        "restarter",
        "a look restarts",
        "test_a_look_shows_what_runs_and_changes_nothing",
        [
            (
                "    def shown(self, change: Change) -> Progress:\n",
                "    def shown(self, change: Change) -> Progress:\n        self.restart(change)\n",
            )
        ],
    ),
    WrongToy(
        "restarter",
        "it has no look",
        "test_a_look_shows_what_runs_and_changes_nothing",
        [("def shown(", "def seen("), ("self.shown(", "self.seen(")],
    ),
    WrongToy(
        "restarter",
        "the name of what it restarts is another one after a restart",
        "test_one_restart_for_several_playbooks_takes_all_that_began_before_it",
        [
            (
                'f"acme program {self.folder}/{self.program}"',
                "f\"acme program {self._service.load(self.program)['started_at']}\"",
            )
        ],
    ),
    WrongToy(
        "restarter",
        "its progress tells the key",
        _NO_TEXT,
        [("current == seen.total, seen.instances)", "True, (), seen.instances[0].holds.reveal())")],
    ),
    WrongToy(
        "restarter",
        "where its service does not answer nothing runs",
        _ASKED_AGAIN,
        of_service=[(_NO_ANSWER, "return {}")],
    ),
]

PROBES = [
    WrongToy(
        "probe",
        "it answers by yes and no",
        "test_a_key_that_works_passes_and_one_that_does_not_is_rejected",
        [
            (
                'raise Rejected("acme refuses this key")',
                'raise Rejected("acme refuses this key")\n        return True',
            )
        ],
    ),
    WrongToy("probe", "its settings can be changed", _KEEPS_SETTINGS, [_FROZEN]),
    WrongToy(
        "probe",
        "it accepts every key",
        "test_a_key_that_works_passes_and_one_that_does_not_is_rejected",
        [("if not any(", "if False and not any(")],
    ),
    WrongToy(
        "probe",
        "a refusal is any permanent error",
        "test_a_key_that_works_passes_and_one_that_does_not_is_rejected",
        [("import Rejected", "import PermanentError"), ("raise Rejected", "raise PermanentError")],
    ),
    WrongToy(
        "probe",
        "its refusal shows the key",
        _NO_TEXT,
        [('"acme refuses this key"', 'f"acme refuses {value}"')],
    ),
    WrongToy(
        "probe",
        "a service that does not answer refuses the key",
        "test_a_service_that_does_not_answer_is_not_a_refusal",
        of_service=[
            ("import TransientError", "import Rejected"),
            ("raise TransientError", "raise Rejected"),
        ],
    ),
]

_GENERATE = '        keys = self._service.load("keys")\n        key_id'
_REVOKE = '        self._set(credential, "dead")'

PROVIDERS = [
    WrongToy(
        "provider",
        "its list has a text for a time",
        "test_a_list_is_offered_or_not",
        [('key["hint"], active', 'key["hint"], created_at="2026-01-01", active')],
    ),
    WrongToy("provider", "its settings can be changed", _KEEPS_SETTINGS, [_FROZEN]),
    WrongToy(
        "provider",
        "a revoked key goes on working",
        "test_a_new_key_works_and_a_revoked_one_does_not",
        [(_REVOKE, "        pass")],
    ),
    WrongToy(
        "provider",
        "a key that is gone already is an error",
        "test_a_new_key_works_and_a_revoked_one_does_not",
        [
            (
                _REVOKE,
                '        if self._service.load("keys")[credential.id]["state"] == "dead":\n'
                f'            raise Unsupported("it is gone")\n{_REVOKE}',
            )
        ],
    ),
    WrongToy(
        "provider",
        "its keys do not look like its keys",
        "test_a_new_key_is_one_of_its_keys",
        [('startswith("acme-")', 'startswith("acme_")')],
    ),
    WrongToy(
        "provider",
        "a key does not bear its label",
        "test_a_new_key_is_found_again_where_its_answer_was_lost",
        [('"label": label.text', '"label": ""')],
    ),
    WrongToy(
        "provider",
        "it lists dead keys as active",
        "test_a_list_is_offered_or_not",
        [('active=key["state"] == "live"', "active=True"), ('if key["state"] != "dead"', "")],
    ),
    WrongToy(
        "provider",
        "a new key ends the old one",
        "test_two_keys_overlap_as_it_says",
        [
            (
                _GENERATE,
                '        keys = self._service.load("keys")\n'
                '        keys = {one: {**key, "state": "dead"} for one, key in keys.items()}\n'
                "        key_id",
            )
        ],
    ),
    WrongToy(
        "provider",
        "it revokes by the value alone",
        "test_a_key_is_revoked_by_its_id_alone",
        [(_REVOKE, f"        if credential.values:\n    {_REVOKE}")],
    ),
    WrongToy(
        "provider",
        "it deactivates although it says that it cannot",
        "test_deactivation_can_be_undone_or_is_not_offered",
        [("can_deactivate = True", "can_deactivate = False")],
    ),
    WrongToy(
        "provider",
        "a key that was switched off stays so",
        "test_deactivation_can_be_undone_or_is_not_offered",
        [('        self._set(credential, "live")', "        pass")],
    ),
    WrongToy(
        "provider",
        "its preflight makes a key",
        "test_preflight_changes_nothing",
        [
            (
                "    def preflight(self) -> list[Finding]:\n",
                "    def preflight(self) -> list[Finding]:\n"
                '        self.generate(Label("a", "b", "c", 1), None)\n',
            )
        ],
    ),
    WrongToy(
        "provider",
        "its hints show too little",
        "test_a_hint_matches_the_key_it_stands_for",
        [("value[-6:]", "value[-2:]")],
    ),
    WrongToy(
        "provider",
        "its list shows whole keys",
        _NO_TEXT,
        [('key["label"], key["hint"]', 'key["label"], key["value"]')],
    ),
    WrongToy(
        "provider",
        "where its service does not answer there are no keys",
        "test_a_service_that_does_not_answer_is_asked_again_later",
        of_service=[(_NO_ANSWER, "return {}")],
    ),
]

WRONG_TOYS = [*STORES, *RESTARTERS, *PROBES, *PROVIDERS]
