"""A catalog file is proven when it is loaded: every mistake at once, with its place and the nearest
right word.
"""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from rotator.errors import ConfigError, PermanentError, Unsupported
from rotator.integrations.catalog import entry as catalog_entry
from rotator.integrations.catalog.shipped import shipped
from rotator.model import Label, single
from rotator.playbook import catalog
from rotator.playbook.directory import Directory
from rotator.playbook.json_schema import catalog_schema
from rotator.playbook.mistakes import PlaybookMistakes
from rotator.secret import Redactor, Secret

GOOD = """\
name: Ours
console: https://ours.example/keys
docs: https://ours.example/docs
env: [OURS_API_KEY]
pattern: 'our-[a-z0-9]{20}'
quota: 5
propagation: 10
settings:
  team: {help: The team}
  place: {default: null, help: A place}
  admin: {secret: true, help: The administrator's key}
api: {base: 'https://api.ours.example', auth: {bearer: admin}}
create:
  - when: place
    request: {POST: '/places/{place}/keys', json: {name: '{label}', tags: ['of {team}']}}
    answer: {secret: key, id: id}
  - request: {POST: '/teams/{team}/keys', json: {name: '{label}'}}
    answer: {secret: key, id: id, created: created_at, expires: expires_at}
list:
  request: {GET: '/teams/{team}/keys', query: {limit: '100'}}
  pages: {cursor: after, last: last_id, more: has_more}
  each: {in: data, id: id, label: [name], hint: hint, last_used: used_at, active: '!disabled', owner: o, owner_label: l}
last_used: {granularity: 60}
deactivate: {request: {PATCH: '/keys/{id}', json: {disabled: true}}}
reactivate: {request: {PATCH: '/keys/{id}', json: {disabled: false}}}
revoke:
  - when: owned
    request: {DELETE: '/owners/{owner}'}
    gone: [404]
  - request: {DELETE: '/keys/{id}'}
probe: {request: {GET: /me, auth: {bearer: key}}, refused: [401], identity: {team: team.id, org: 'header:x-org'}}
"""

# what is written, what is written instead, the line, what is said of it, the way out
WRONG = {
    "a placeholder with a slip": (
        "json: {name: '{label}'}",
        "json: {name: '{lable}'}",
        17,
        "{lable} stands for",
        "label",
    ),
    "a placeholder of nothing": (
        "'of {team}'",
        "'of {xyz}'",
        15,
        "{xyz} stands for nothing",
        "{team}",
    ),
    "a part of the old key that the list does not tell": (
        "tags: ['of {team}']",
        "tags: '{old.tags}'",
        15,
        "{old.tags} stands for nothing",
        "{expires.iso}",
    ),
    "an end that nothing tells": (
        "tags: ['of {team}']",
        "ttl: '{expires.seconds}'",
        15,
        "when the old key ends, and since when it lives, stands nowhere",
        "created: …",
    ),
    "a form of an end that there is not": (
        "tags: ['of {team}']",
        "ttl: '{expires.second}'",
        15,
        "{expires.second} stands",
        "expires.seconds",
    ),
    "the old key in an address": (
        "'/teams/{team}/keys', json",
        "'/teams/{old.team}/keys', json",
        17,
        "{old.team} stands for nothing",
        "",
    ),
    "a placeholder with a blank": (
        "'/teams/{team}/keys', query",
        "'/teams/{team }/keys', query",
        20,
        "team ",
        "team",
    ),
    "half a brace": (
        "'/owners/{owner}'",
        "'/owners/{owner'",
        28,
        "a brace without its other half",
        "{name}",
    ),
    "a secret in an address": (
        "'/owners/{owner}'",
        "'/owners/{owner}/{admin}'",
        28,
        "would stand in logs",
        "auth",
    ),
    "an id in a list": (
        "{limit: '100'}",
        "{limit: '{id}'}",
        20,
        "{id} is not known here",
        "in deactivate, reactivate",
    ),
    "an owner without its condition": (
        "DELETE: '/keys/{id}'",
        "DELETE: '/keys/{owner}'",
        30,
        "{owner} is not",
        "owned",
    ),
    "a path part that may be absent": (
        "/teams/{team}/keys', json",
        "/x/{place}/keys', json",
        17,
        "need not be",
        "when: place",
    ),
    "a path upwards": (
        "'/owners/{owner}'",
        "'/x/../owners/{owner}'",
        28,
        "lead to another address",
        "plainly",
    ),
    "a query in a path": ("GET: /me", "GET: '/me?x=1'", 31, "is no path", "query"),
    "a path that is none": ("GET: /me", "GET: me", 31, "is no path", "begins with /"),
    "a method with a slip": (
        "{DELETE: '/keys",
        "{DELTE: '/keys",
        30,
        "DELTE is no method",
        "DELETE",
    ),
    "no method": ("{GET: /me, auth", "{auth", 31, "exactly one method", ""),
    "two methods": ("{GET: /me, ", "{GET: /me, HEAD: /me, ", 31, "exactly one method", ""),
    "a create that is sent twice": (
        "{POST: '/teams",
        "{GET: '/teams",
        17,
        "a create is never GET",
        "sent twice",
    ),
    "a path into an answer": (
        "id: id, created",
        "id: 'id[', created",
        18,
        "`id[` is no JMESPath",
        "jmespath.org",
    ),
    "a path into each key": (
        "hint: hint",
        "hint: 'a b'",
        22,
        "`a b` is no JMESPath",
        "jmespath.org",
    ),
    "a function with a slip": (
        "in: data",
        "in: 'sorted(data)'",
        22,
        "no function sorted()",
        "sort",
    ),
    "a path to a label": ("label: [name]", "label: ['na[']", 22, "is no JMESPath", ""),
    "a path into an identity": ("team: team.id", "team: 'team.'", 31, "is no JMESPath", ""),
    "an administrator with a slip": (
        "auth: {bearer: admin}",
        "auth: {bearer: adminn}",
        12,
        "'adminn'",
        "admin",
    ),
    "an administrator that is no secret": (
        "auth: {bearer: admin}",
        "auth: {bearer: team}",
        12,
        "no secret",
        "secret: true",
    ),
    "the key as the administrator": (
        "auth: {bearer: admin}",
        "auth: {bearer: key}",
        12,
        "is not known here",
        "",
    ),
    "the administrator as the key": (
        "auth: {bearer: key}",
        "auth: {bearer: admin}",
        31,
        "the key itself",
        "say `key`",
    ),
    "a probe without a key": (
        ", auth: {bearer: key}",
        "",
        31,
        "how the key is sent",
        "bearer: key",
    ),
    "a header without a value": (
        "auth: {bearer: key}",
        "auth: {header: X-Key}",
        31,
        "auth is `bearer",
        "",
    ),
    "a header that is none": (
        "{bearer: key}",
        "{header: 'X Key', value: key}",
        31,
        "no name of a header",
        "X-API-Key",
    ),
    "nothing to authenticate with": (
        "auth: {bearer: admin}",
        "auth: {}",
        12,
        "nothing to authenticate",
        "bearer",
    ),
    "a secret that need not be given": (
        "admin: {secret: true,",
        "admin: {secret: true, default: null,",
        12,
        "need not",
        "",
    ),
    "a secret written out": (
        "admin: {secret: true,",
        "admin: {secret: true, default: s3cr3t,",
        11,
        "written out",
        "",
    ),
    "a word that is taken": (
        "place: {default",
        "quota: {default",
        10,
        "the word is taken",
        "my_quota",
    ),
    "a name that is none": (
        "place: {default",
        "'a b': {default: null}\n  place: {default",
        10,
        "cannot be a setting's name",
        "letters",
    ),
    "a label that is not sent": (
        "'/teams/{team}/keys', json: {name: '{label}'}",
        "'/teams/{team}/keys'",
        17,
        "is not sent",
        "{label}",
    ),
    "a list without labels": (
        "label: [name], ",
        "",
        22,
        "'label' is missing",
        "recovery: difference",
    ),
    "a label that is no list": (
        "label: [name]",
        "label: name",
        22,
        "list.each.label",
        "a list: [a, b]",
    ),
    "a list without ids": ("id: id, label", "label", 22, "'id' is missing in list.each", ""),
    "an empty id": ("id: id, label", "id: '', label", 22, "is no JMESPath", ""),
    "a new key without its id": (
        "{secret: key, id: id, created",
        "{secret: key, created",
        18,
        "'id' is missing",
        "by it",
    ),
    "a condition with a slip": ("when: owned", "when: ownd", 27, "'ownd'", "owned"),
    "a condition of a create": ("when: place", "when: plaice", 14, "'plaice'", "place"),
    "a condition that always holds": (
        "when: place",
        "when: team",
        14,
        "always given",
        "default is null",
    ),
    "a create that is never used": (
        "- when: place\n    request",
        "- request",
        14,
        "no create after this",
        "when",
    ),
    "an owner without its label": (", owner_label: l", "", 22, "go together", ""),
    "an owner of which nothing is known": (
        ", owner: o, owner_label: l",
        "",
        27,
        "whose a key is",
        "owner",
    ),
    "a revocation of everything": (
        "DELETE: '/keys/{id}'",
        "DELETE: /keys",
        30,
        "which key",
        "{id}",
    ),
    "no way back": ("reactivate: {request", "#", 24, "`deactivate` without `reactivate`", "undone"),
    "a granularity of nothing": (
        ", last_used: used_at",
        "",
        23,
        "where the list tells the last use",
        "grace alone",
    ),
    "a last use without its granularity": (
        "last_used: {granularity: 60}\n",
        "",
        22,
        "how late",
        "granularity",
    ),
    "a negative time": ("propagation: 10", "propagation: -10", 7, "propagation", ""),
    "an endless time": ("propagation: 10", "propagation: .inf", 7, "propagation", ""),
    "pages of both kinds": (
        "{cursor: after",
        "{offset: o, cursor: after",
        21,
        "or by `offset`",
        "",
    ),
    "a cursor without more": (", more: has_more", "", 21, "'more' is missing", "go together"),
    "pages of nothing": (
        "{cursor: after, last: last_id, more: has_more}",
        "{offset: o, size: 0}",
        21,
        "size",
        "",
    ),
    "nothing is refused": ("refused: [401]", "refused: []", 31, "no status", "[401]"),
    "a status that is no refusal": ("gone: [404]", "gone: [200]", 29, "revoke.0.gone.0", ""),
    "a number where text is": (
        "limit: '100'",
        "limit: 100",
        20,
        "list.request.query.limit",
        "quotes",
    ),
    "an address that is none": (
        "'https://api.ours.example'",
        "api.ours.example",
        12,
        "is no address",
        "https://",
    ),
    "a pattern that is none": ("'our-[a-z0-9]{20}'", "'our-['", 5, "not a regular expression", ""),
    "a pattern that takes the words after a key": (
        "'our-[a-z0-9]{20}'",
        "'our-.*'",
        5,
        "matches blanks",
        "[A-Za-z0-9_-]+",
    ),
    "an unknown word": ("quota: 5", "qouta: 5", 6, "unknown key 'qouta'", "quota"),
    "an unknown word deep inside": (
        "refused: [401]",
        "refusd: [401]",
        31,
        "unknown key 'refusd' in probe",
        "refused",
    ),
    "an unknown word in a request": (
        "{PATCH: '/keys/{id}', json: {disabled: true}}",
        "{PATCH: '/keys/{id}', jsn: {}}",
        24,
        "'jsn'",
        "json",
    ),
    "a condition where none is": (
        "list:\n",
        "list:\n  when: place\n",
        20,
        "unknown key 'when' in list",
        "",
    ),
    "a person with a slip": (
        GOOD[GOOD.index("create:") : GOOD.index("list:")],
        "create: operater\n",
        13,
        "'operater'",
        "operator",
    ),
    "nobody destroys it": ("revoke:\n", "revoke: []\nx:\n", 26, "nothing does it", "operator"),
    "steps of nobody": (
        "quota: 5",
        "steps: {create: [Press the button.]}",
        6,
        "no person does it",
        "",
    ),
    "a federation without its page": (
        "quota: 5",
        "federation: {offered: true, name: WIF}",
        6,
        "'docs' is missing",
        "https://",
    ),
    "a federation of no kind": ("quota: 5", "federation: yes", 6, "federation", "a mapping"),
    "a further header that is none": (
        "auth: {bearer: admin}}",
        "auth: {bearer: admin}, headers: {'x y': a}}",
        12,
        "no name of a header",
        "",
    ),
    "a further header of a secret that is none": (
        "auth: {bearer: admin}}",
        "auth: {bearer: admin}, headers: {x: {secret: adminn}}}",
        12,
        "'adminn'",
        "admin",
    ),
    "a further header that is a number": (
        "auth: {bearer: admin}}",
        "auth: {bearer: admin}, headers: {x: 7}}",
        12,
        "api.headers.x",
        "",
    ),
    "no administrator": (", auth: {bearer: admin}}", "}", 12, "'auth' is missing", "bearer"),
    "half of HTTP Basic": (
        "auth: {bearer: admin}}",
        "auth: {basic: [admin]}}",
        12,
        "a user and a password",
        "basic",
    ),
    "a password that is no secret": (
        "auth: {bearer: admin}}",
        "auth: {basic: [team, team]}}",
        12,
        "no secret",
        "",
    ),
    "a prefix of no header": (
        "auth: {bearer: admin}}",
        "auth: {bearer: admin, prefix: Token}}",
        12,
        "stands before",
        "",
    ),
    "a word twice": ("quota: 5", "quota: 5\nquota: 6", 7, "'quota' stands here twice", "keep one"),
    "a part that is missing": ("probe: {", "# {", 1, "'probe' is missing", ""),
    "no mapping": (GOOD, "- a\n- b\n", 1, "a catalog file is a mapping", "name"),
    "no YAML": ("name: Ours", "name: 'Ours", 5, "is not YAML", ""),
    "nothing": (GOOD, "", 1, "a catalog file is a mapping", ""),
}


def _mistakes(folder: Path, text: str) -> list[tuple[int, int, str, str]]:
    path = folder / "ours.yaml"
    path.write_text(text)
    with pytest.raises(PlaybookMistakes) as told:
        catalog.load(path)
    assert all(mistake.file.endswith("ours.yaml") for mistake in told.value.mistakes)
    return [(one.line, one.column, one.text, one.hint) for one in told.value.mistakes]


def _changed(before: str, after: str) -> str:
    assert before in GOOD
    return GOOD.replace(before, after, 1)


def test_a_right_file_is_a_provider(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(GOOD)
    made = catalog.provider(tmp_path / "ours.yaml")
    assert (made.entry.name, made.entry.in_paths) == ("Ours", {"team", "place", "id", "owner"})


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_its_place_and_the_way_out(case: str, tmp_path: Path) -> None:
    before, after, line, text, hint = WRONG[case]
    found = _mistakes(tmp_path, _changed(before, after))
    assert any(one[0] == line and text in one[2] and hint in one[3] for one in found), found
    assert len(found) <= 3, "one slip is not a dozen mistakes"


def test_all_mistakes_are_told_at_once_with_their_columns(tmp_path: Path) -> None:
    text = GOOD.replace("bearer: admin}", "bearer: adminn}").replace("{label}", "{lable}")
    found = _mistakes(tmp_path, text.replace("in: data", "in: '['"))
    assert [one[:2] for one in found] == [(12, 56), (15, 58), (17, 56), (22, 14)]


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_file_is_proven(name: str) -> None:
    assert catalog.load(shipped()[name]) == catalog_entry.entry_at(shipped()[name])


def test_a_list_without_labels_is_declared(tmp_path: Path) -> None:
    """Then what a lost create left is found by difference."""
    text = GOOD.replace("label: [name], ", "").replace("quota: 5", "recovery: difference")
    (tmp_path / "ours.yaml").write_text(text.replace("name: '{label}'", "name: ours"))
    assert catalog.load(tmp_path / "ours.yaml").recovery == "difference"


_PLAYBOOK = """\
description: d
generate: {uses: ours, team: %s, admin: {env: ADMIN}}
store: {uses: file, path: /tmp/x/f}
restart: []
evidence: none
"""


def _directory(folder: Path, catalog_text: str, team: str = "t1") -> Directory:
    (folder / "providers").mkdir(exist_ok=True)
    (folder / "providers" / "ours.yaml").write_text(catalog_text)
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text((_PLAYBOOK % team).replace("/f}", f"/{name}}}"))
    return Directory((folder,))


def test_the_mistakes_of_a_catalog_file_are_told_once_and_each_playbook_says_that_it_waits(
    tmp_path: Path,
) -> None:
    found = _directory(tmp_path, GOOD.replace("{label}", "{lable}")).load()
    places = [(Path(mistake.file).name, mistake.line) for mistake in found.mistakes]
    assert places == [("ours.yaml", 15), ("ours.yaml", 17)] and not found.playbooks
    waiting = [(Path(mistake.file).name, mistake.line) for mistake in found.following]
    assert waiting == [("one.yaml", 2), ("two.yaml", 2)]
    for name in ("one", "two"):
        (mistake,) = found.mistakes_of(name)
        assert mistake.text == "the catalog file of 'ours' is wrong"


def test_a_corrected_catalog_file_is_seen(tmp_path: Path) -> None:
    """The playbooks did not change, yet they load now."""
    directory = _directory(tmp_path, GOOD.replace("{label}", "{lable}"))
    assert not directory.load().playbooks
    (tmp_path / "providers" / "ours.yaml").write_text(GOOD)
    assert set(directory.load().playbooks) == {"one", "two"}


@pytest.mark.parametrize("team", ['".."', '"."', '" "', '"a\\nb"', '"a\\ud800b"'])
def test_a_setting_that_would_lead_to_another_address_is_a_mistake(
    team: str, tmp_path: Path
) -> None:
    """DELETE of a key of project `..` would be one of a key of all projects."""
    found = _directory(tmp_path, GOOD, team).load()
    assert not found.playbooks
    told = [mistake.text for mistake in found.mistakes]
    assert any("'team' cannot be part of an address" in text or "YAML" in text for text in told)


def test_a_setting_may_be_unusual(tmp_path: Path) -> None:
    assert _directory(tmp_path, GOOD, '"größer/als..."').load().playbooks


def test_a_setting_that_is_wrong_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(GOOD)
    from rotator.reference import Reference

    with pytest.raises(ConfigError, match="team"):
        catalog.provider(tmp_path / "ours.yaml")(team="..", admin=Reference("env", "A"))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "written",
    [
        "'acme-[0-9]{6}'",
        '"acme-[0-9]{6}"',
        "acme-[0-9]{6}",
        ">-\n  acme-[0-9]{6}",
        '"acme-[0-9]{6}"  # what it is',
    ],
)
def test_the_pattern_of_a_file_reaches_the_redactor(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever quotes; also of a file that has mistakes, whose keys may stand in messages all
    the same.
    """
    redactor = Redactor()
    monkeypatch.setattr(catalog, "redact", redactor)
    (tmp_path / "acme.yaml").write_text(f"name: Acme\npattern: {written}\n")
    with pytest.raises(PlaybookMistakes):
        catalog.load(tmp_path / "acme.yaml")
    assert redactor("said acme-123456!") == "said ***!"


def _fits(text: str) -> bool:
    return not list(
        jsonschema.Draft202012Validator(catalog_schema()).iter_errors(yaml.safe_load(text))
    )


BY_HAND = """\
name: Theirs
console: https://theirs.example/keys
federation: {offered: false}
steps: {create: [Press "New key".], revoke: [Press "Delete".]}
api: {base: 'https://api.theirs.example'}
create: operator
revoke: operator
probe: {request: {GET: /me, auth: {bearer: key}}}
"""


def test_a_file_may_leave_both_to_a_person(tmp_path: Path) -> None:
    """Then it has no administrator, and needs no settings."""
    (tmp_path / "theirs.yaml").write_text(BY_HAND)
    made = catalog.provider(tmp_path / "theirs.yaml")()
    assert made.supplied and not made.destroys and made.console == "https://theirs.example/keys"
    assert made.preflight() == [] and not made.can_list
    with pytest.raises(Unsupported, match="only a person can destroy"):
        made.revoke(single("their-key-01234"))
    with pytest.raises(Unsupported, match="a person makes"):
        made.generate(Label("i", "p", "r", 1), None)


@pytest.mark.parametrize(
    ("before", "after", "line", "text"),
    [
        ("console: https://theirs.example/keys\n", "", 5, "where a person does it"),
        ("probe:", "list: {request: {GET: /k}, each: {in: k, id: id}}\nprobe:", 5, "'auth' is mis"),
    ],
)
def test_what_a_person_does_needs_its_place(
    before: str, after: str, line: int, text: str, tmp_path: Path
) -> None:
    found = _mistakes(tmp_path, BY_HAND.replace(before, after))
    assert any(one[0] == line and text in one[2] for one in found), found


@pytest.mark.parametrize(
    "pasted", [" our-key", "our-key-0123", "'their-key-0123'", "their-k\u0435y-1"]
)
def test_a_pasted_key_is_looked_at_as_one_word(pasted: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(BY_HAND + "pattern: 'their-[a-z0-9-]+'\n")
    made = catalog.provider(tmp_path / "theirs.yaml")()
    with pytest.raises(PermanentError, match="this is not the key"):
        made.accept(Secret(pasted), None)
    assert made.accept(Secret(" their-key-0123\n"), None).primary == Secret("their-key-0123")


def test_the_json_schema_of_a_file_agrees_with_what_loads() -> None:
    """As a file spells it: a method is a key, `list` and `in` are words."""
    jsonschema.Draft202012Validator.check_schema(catalog_schema())
    assert (
        _fits(GOOD)
        and _fits(BY_HAND)
        and all(_fits(path.read_text()) for path in shipped().values())
    )
    for written, wrong in (
        ("probe: {request: {GET:", "probe: {request: {POST: /a, GET:"),
        ("probe: {request: {GET:", "probe: {request: {path:"),
        ("quota: 5", "qouta: 5"),
        ("quota: 5", "quota: -1"),
        ("api: {base:", "api: {bass:"),
        ("name: Ours\n", ""),
    ):
        assert written in GOOD
        assert not _fits(GOOD.replace(written, wrong, 1)), wrong
