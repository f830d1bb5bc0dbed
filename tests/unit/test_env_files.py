"""A .env file, a line or a value that can mean several things is refused before anything is made,
and said by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotator import stand_in
from rotator.errors import PermanentError, PluginError
from rotator.integrations.docker.compose import ComposeRestarter
from rotator.integrations.docker.container import Container
from rotator.integrations.files.dotenv import DotenvStore
from rotator.integrations.files.dotenv_dialects import Line
from rotator.integrations.files.dotenv_readers import right
from rotator.integrations.files.file import FileStore
from rotator.model import Level, Note, single

NOTE = Note("k", "i", "01ROTATION", 0.0)
OLD = "sk-live-old0001"
UTF16 = f"\ufeffA=1\r\nKEY={OLD}\r\n"


@dataclass(frozen=True)
class Reader:
    """A restarter whose consumers read the file so."""

    reader: str

    def env_reader(self, host: str | None, path: str) -> str:
        return self.reader


def store(tmp_path: Path, content: str | bytes, **settings: object) -> DotenvStore:
    path = tmp_path / "app.env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return DotenvStore(path=str(path), key="KEY", **settings)  # type: ignore[arg-type]


def refused(one: DotenvStore | FileStore, words: str) -> None:
    """Reading it is refused by its name, a write too, and the file stays as it is."""
    before = Path(one.path).read_bytes()
    one.preflight()  # what it holds is told where it is read, right afterwards
    for act in (one.read, lambda: one.write(single("new-value"), "", NOTE)):
        with pytest.raises(PluginError, match=words) as raised:
            act()
        assert "app.env" in raised.value.message and raised.value.hint
        assert OLD not in raised.value.message + raised.value.hint
    assert Path(one.path).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"[default]\nKEY = {OLD}\n[admin]\nKEY = other\n", "line 1 begins the section"),
        (f"KEY={OLD}\n\n[ profile dev ] # theirs\nX=1\n", "line 3 begins the section"),
        (f'A=1\n[remote "origin"]\nKEY={OLD}\n', "INI"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3031323334\n", "Ansible Vault"),
        ("\0GITCRYPT\0\x11\x22\n", "git-crypt"),
        ("age-encryption.org/v1\n-> X25519 abc\n", "age"),
        ("-----BEGIN PGP MESSAGE-----\nabc\n", "PGP"),
        ("U2FsdGVkX1+abcdefghijklmnop\n", "openssl"),
        (f"KEY={OLD}\nsops_mac=ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops_version=3.9.0\n", "SOPS"),
        ('DOTENV_PUBLIC_KEY="03f8"\nOTHER="encrypted:BG7x9k=="\n', "dotenvx"),
        ('{"KEY": "value"}\n', "no .env file"),
        ("name: app\nservices:\n  web: 1\n", "no .env file"),
        ("just words\n", "no .env file"),
        (f"A=1\rKEY={OLD}\rB=2\r", "lines end in CR alone"),
        (f"# ours\rKEY={OLD}\r", "lines end in CR alone"),
        (f"A=1\n<<<<<<< HEAD\nKEY={OLD}\n=======\nKEY=other\n>>>>>>> theirs\n", "line 2: git left a conflict"),
        (f"<<<<<<< HEAD\r\nB=1\r\n||||||| 0b1\r\n=======\r\nB=2\r\n>>>>>>> x\r\nKEY={OLD}\r\n", "line 1: git left a conflict"),
        (f"KEY={OLD}\n>>>>>>> theirs\n", "line 2: git left a conflict"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind(tmp_path: Path, content: str, words: str) -> None:
    refused(store(tmp_path, content), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (UTF16.encode("utf-16-le"), "UTF-16"),
        (UTF16.encode("utf-16-be"), "UTF-16"),
        (UTF16[1:].encode("utf-16-le"), "every other byte is a NUL, as in UTF-16"),
        (UTF16.encode("utf-32-le"), "UTF-32"),
        (f"# ключ\nKEY={OLD}\n".encode("cp1251"), "0xea in line 1"),
        (f"A=1\n# Schlüssel\nKEY={OLD}\n".encode("latin-1"), "0xfc in line 2"),
        (b"KEY=old\0\n", "NUL bytes"),
    ],
)
def test_a_file_that_is_not_utf8(tmp_path: Path, content: bytes, words: str) -> None:
    refused(store(tmp_path, content), f"not UTF-8.*{words}")
    refused(FileStore(path=str(tmp_path / "app.env")), f"not UTF-8.*{words}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"encrypted:BG7x9kMADEUP=="', "encrypted by dotenvx"),
        ("ENC[AES256_GCM,data:bWFkZQ==,iv:dXA=,tag:eA==,type:str]", "encrypted by SOPS"),
        ("'!vault |'", "Ansible Vault"),
        ("ENC(G6N718UuyPE5bHyWKyuLQSm02auQPUtm)", "Jasypt"),
        ("op://Dev/OpenAI/credential", "1Password"),
        ("ref+vault://secret/app#key", "vals"),
        ("vault:secret/data/app#KEY", "Bank-Vaults"),
        ("arn:aws:secretsmanager:eu-central-1:1:secret:x", "AWS"),
        ('"{{resolve:secretsmanager:x}}"', "AWS"),
        ("projects/p/secrets/s/versions/latest", "Google"),
        ("'@Microsoft.KeyVault(SecretUri=https://v)'", "Azure"),
        ("${SHARED}", "a variable"),
        ("$SHARED", "a variable"),
        ("'${SHARED}'", "a variable"),
        ('"${KEY:-default}"', "a variable"),
        ("$(cat /run/secrets/key)", "a variable"),
        ("`cat /run/secrets/key`", "a variable"),
        ("%SHARED%", "a variable"),
        ("{{ key }}", "a template"),
        ("'#{KEY}#'", "a template"),
        ("gcp-secret://p/s", "Google"),
        ("azkv://vault/secret", "Azure Key Vault"),
        ("secretref:openai-key", "Azure Container Apps"),
        ("keyring:service/user", "a keyring"),
        ("file:///run/secrets/key", "a file"),
        ("/run/secrets/openai_api_key", "a file"),
        ("AQICAHh" + "Ab1/" * 30 + "==", "AWS KMS"),
        ("gAAAAAB" + "Ab1_" * 30 + "==", "Fernet"),
    ],
)
def test_ciphertext_or_a_reference_is_no_key(tmp_path: Path, value: str, words: str) -> None:
    refused(store(tmp_path, f"A=1\nKEY={value}\n"), f"line 2: KEY is .*{words}")


@pytest.mark.parametrize(
    "value",
    [
        "your-openai-api-key", "your_api_key_here", "YOUR_KEY", "<your key>", "user_provided", "sk-...", "sk-…",
        "changeme", "CHANGE_ME", "replace-with-your-key", "insert_key_here", "xxxxxxxx", "sk-xxxxxxxxxxxx", "********",
        "TODO", "[key]", "my-secret-key", "placeholder", "put-your-token-here", "sk-ant-xxxxx",
        "sk-your-key", "sk-ant-REPLACE_ME", "fake-key", "sk-1234567890", "0000000000000000", "sk-proj-example",
    ],
)  # fmt: skip
def test_a_placeholder_is_named_with_the_way_out(tmp_path: Path, value: str) -> None:
    one = store(tmp_path, f"KEY='{value}'\n")
    with pytest.raises(PermanentError, match="KEY is a placeholder") as raised:
        one.read()
    assert value in raised.value.message and "create: true" in raised.value.hint


@pytest.mark.parametrize(
    "value",
    [
        "sk-proj-abcDEF0123456789abcDEF", "mem-000001", "first-value", "AKIAIOSFODNN7EXAMPLE", "hunter2", "p4ss-word",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "dkr_0123456789abcdef", "s3cr3t", "tr0ub4dor&3", "a.b.c",
        "ghp_xxxx0123456789abcdefABCDEF0123456789", "eyJhbGciOiJIUzI1NiJ9.e30.abc", "xoxb-1234-5678-abcdef",
        "vault-root", "postgres://app:s3cr3t@db.example.com/app", "enc_123", "op_live_123",
        "sk-ant-api03-aB3xY9zQ7w1E5rT-here", "/abc+DEF0123456789abcdef/ABCDEF0123456789", "AQICAHshort", "fake-key-8Yq2", "12345-abcdef", "example.com-8Yq2",
    ],
)  # fmt: skip
def test_what_may_be_a_key_is_none_of_these(value: str) -> None:
    assert stand_in.told(value) == ("", "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"export KEY={OLD} OTHER=sk-other", "more than the assignment of KEY"),
        (f"KEY={OLD} OTHER=sk-other", "more than the assignment of KEY"),
        (f"KEY={OLD}; export KEY", "a command behind the assignment"),
        (f"KEY={OLD} && export KEY", "a command behind the assignment"),
        (f"KEY={OLD};", "a shell"),
        (f"KEY={OLD} run-me", "a shell"),
        (f"KEY={OLD} | tee log", "a shell"),
        (f"OTHER=1 KEY={OLD}", "behind another assignment"),
        (f"export OTHER=1 KEY={OLD}", "behind another assignment"),
        (f"OTHER=1;KEY={OLD}", "behind another assignment"),
        (f"A=1\nKEY: {OLD}", "line 2: this is no assignment of KEY"),
        (f"A=1\n  KEY : '{OLD}'", "no assignment of KEY"),
        (f"A=1\n'KEY'={OLD}", "no assignment of KEY"),
        (f'A=1\n"KEY"="{OLD}"', "no assignment of KEY"),
        (f"A=1\nexport 'KEY'={OLD}", "no assignment of KEY"),
        (f"A=1\nset KEY={OLD}", "no assignment of KEY"),
        (f"A=1\nset -gx KEY {OLD}", "no assignment of KEY"),
        (f"A=1\nsetenv KEY {OLD}", "no assignment of KEY"),
        (f"A=1\ndeclare -x KEY={OLD}", "no assignment of KEY"),
        (f"A=1\nreadonly KEY={OLD}", "no assignment of KEY"),
        (f"A=1\nexport -n KEY={OLD}", "no assignment of KEY"),
        (f"A=1\n$env:KEY = '{OLD}'", "no assignment of KEY"),
        (f"A=1\nKEY+={OLD}", "no assignment of KEY"),
        (f"A=1\nKEY:={OLD}", "no assignment of KEY"),
        (f"A=1\nKEY ?= {OLD}", "no assignment of KEY"),
        ("A=1\nKEY", "no assignment of KEY"),
        (f"KEY={OLD}\nunset KEY", "line 2: this is no assignment of KEY"),
        (f"KEY={OLD}\n: ${{X:?}} KEY={OLD}", "no assignment of KEY"),
        (f"KEY={OLD}\nB=2\nKEY=another", "different values, in lines 1 and 3"),
        (f"KEY=\nKEY={OLD}", "different values"),
        (f"OTHER=abc\\\nKEY={OLD}", "the line before it ends with"),
        (f"OTHER=\"abc\nKEY={OLD}", "the quote that begins the value of OTHER does not end"),
        (f"KEY=\"{OLD}", "the quote that begins the value of KEY does not end"),
        (f'KEY="{OLD}"more', "a shell"),
        (f'KEY=pre"{OLD}"', "a shell"),
        ("KEY=pa$word1", "another one to .*a shell"),
        ('KEY="pa$word1"', "another one to .*a shell"),
        ("KEY=pa`id`ss", "another one to .*a shell"),
        ("KEY=it's", "a shell"),
        ("KEY=back\\slash", "a shell"),
        ('KEY="-----BEGIN\\nEND-----"', "a shell"),
        (f"if [ -n \"$X\" ]; then\n  KEY={OLD}\nfi", "within a condition"),
        (f"A=1\rKEY={OLD}\nB=2", "line 1: there is a CR without LF within it"),
        (f"B=2\n# ours\rKEY={OLD}", "line 2: there is a CR without LF within it"),
        (f"f() {{\n  KEY={OLD}\n}}", "within a condition"),
        (f"cat <<EOF\nKEY={OLD}\nEOF", "within a condition"),
    ],
)  # fmt: skip
def test_a_line_that_can_mean_several_things(tmp_path: Path, line: str, words: str) -> None:
    refused(store(tmp_path, f"{line}\n"), words)


@pytest.mark.parametrize(
    "content",
    [
        f"KEY={OLD}\n",
        f"export KEY={OLD}\nexport OTHER=2\n",
        f"KEY={OLD}\nexport KEY OTHER\n",
        f"# KEY: old\n#KEY=x y; z\nKEY={OLD} # KEY: the key\n",
        f"KEY={OLD}\nURL=https://x/?KEY=1&a=$KEY\nALSO=${{KEY}}\n",
        f"KEY={OLD}\nTEXT=a 'b c; d\nMY_KEY: 1\nKEY-TOO: 2\n",
        f"TEXT='a\nKEY=inside\n'\nKEY={OLD}\n",
        f"if true; then X=1; fi\nKEY={OLD}\n",
        f"KEY='{OLD}'\nKEY=\"{OLD}\"\n",
        f"\ufeffKEY={OLD}\r\nB=1\r\n",
        f"LIST=[\n1\n]\nKEY={OLD}\n",
    ],
)  # fmt: skip
def test_what_is_sure_is_found(tmp_path: Path, content: str) -> None:
    one = store(tmp_path, content)
    found = one.read()
    assert found is not None and found.values is not None and found.values["key"].reveal() == OLD
    one.write(single("new-value"), found.version, NOTE)
    assert Path(one.path).read_bytes() == content.replace(OLD, "new-value").encode()


@pytest.mark.parametrize(
    ("line", "value", "reader"),
    [
        ("KEY=pa$word1", "pa$word1", "docker"),
        ("KEY=it's", "it's", "docker"),
        ("KEY=two words", "two words", "compose"),
        ("KEY=two words", "two words", "systemd"),
        ("KEY=a;b", "a;b", "python-dotenv"),
    ],
)
def test_where_the_reader_is_known_only_what_it_reads_counts(
    tmp_path: Path, line: str, value: str, reader: str
) -> None:
    for one in (
        store(tmp_path, f"{line}\n", readers=[reader]),
        store(tmp_path, f"{line}\n").read_by([Reader(reader)]),
    ):
        found = one.read()
        assert (
            found is not None and found.values is not None and found.values["key"].reveal() == value
        )
        assert not [finding for finding in one.preflight() if finding.level is Level.ERROR]
    with pytest.raises(PermanentError):  # one of its consumers may be anybody
        store(tmp_path, f"{line}\n").read_by([Reader(reader), object()]).read()


@pytest.mark.parametrize(
    ("content", "reader", "how"),
    [
        (
            f'KEY="{OLD}"\n',
            "docker",
            "docker --env-file reads KEY with more than the key: with quotes",
        ),
        (f"KEY={OLD}   \n", "docker", "with quotes, blanks or a comment"),
        (f"KEY={OLD} # production\n", "docker", "a comment"),
        (f"KEY={OLD} # production\n", "systemd", "systemd .* reads KEY with more than the key"),
        (f"KEY='{OLD}' # production\n", "systemd", "with more than the key"),
        (f"KEY = {OLD}\n", "docker", "not at all"),
        (f"export KEY={OLD}\n", "systemd", "not at all"),
        (f"KEY= {OLD}\n", "bash", "not at all"),
        (f"KEY={OLD}\r\n", "bash", "with more than the key"),
        (f"\ufeffKEY={OLD}\n", "systemd", "a byte order mark"),
        ("KEY=abc#def\n", "dotenv", "as another value"),
        (
            f"# of the app \\\nKEY={OLD}\n",
            "systemd",
            "the comment before it ends with",
        ),  # systemd#27975
    ],
)
def test_a_consumer_that_reads_something_else_is_found_before_the_start(
    tmp_path: Path, content: str, reader: str, how: str
) -> None:
    import re

    one = store(tmp_path, content).read_by([Reader(reader), object()])
    errors = [finding for finding in one.preflight() if finding.level is Level.ERROR]
    assert len(errors) == 1 and re.search(how, errors[0].text) and errors[0].hint
    assert OLD not in errors[0].text


def test_docker_reads_the_env_file_that_its_containers_are_made_with(tmp_path: Path) -> None:
    from rotator.integrations.docker.restarter import DockerRestarter

    one, link = store(tmp_path, "KEY=it's\n"), tmp_path / "link"
    link.symlink_to(one.path)
    web = DockerRestarter(containers=["web-1"], env_file=str(link))
    assert web.env_reader(None, one.path) == "docker"
    assert not web.env_reader("web-1", one.path) and not web.env_reader(
        None, str(tmp_path / "other.env")
    )
    assert not DockerRestarter(containers=["web-1"]).env_reader(None, one.path)
    assert one.read_by([web]).read().values["key"].reveal() == "it's"  # type: ignore[union-attr,index]


@pytest.mark.parametrize(
    ("line", "new", "written"),
    [
        ("KEY=old", "p@ss!*[]?^", "KEY=p@ss!*[]?^"),  # no reader minds
        ("KEY='old'", "a$b#c", "KEY='a$b#c'"),
        ('KEY="old"', "a$b", "KEY='a$b'"),  # dotenv of Node.js keeps a backslash before the sign
        ("KEY='old'", "it's", 'KEY="it\'s"'),
        ("export KEY=old", "a$b", "export KEY='a$b'"),  # neither docker nor systemd read it before
        ("KEY=old # c", "a$b", "KEY='a$b' # c"),
    ],
)
def test_each_reader_that_read_the_old_one_reads_the_new_one(
    tmp_path: Path, line: str, new: str, written: str
) -> None:
    one = store(tmp_path, f"{line}\n")
    one.fits([single(new)])
    one.write(single(new), one.read().version, NOTE)  # type: ignore[union-attr]
    assert Path(one.path).read_text() == f"{written}\n"


@pytest.mark.parametrize(
    ("line", "new", "words"),
    [
        ("KEY=old", "a$b", "docker --env-file would need another one than Compose and a shell"),
        (
            "KEY=old",
            "a#b",
            "docker --env-file and dotenv|dotenv of Node.js would need another one than docker",
        ),
        ("KEY='old'", "a${x}", "there is none for Compose 1 .docker-compose. and python-dotenv"),
        ("KEY=", "a b", "docker"),
    ],
)
def test_where_no_spelling_is_right_for_all_the_reader_in_the_way_is_said(
    tmp_path: Path, line: str, new: str, words: str
) -> None:
    one = store(tmp_path, f"{line}\n")
    for act in (lambda: one.fits([single(new)]), lambda: one.write(single(new), "", NOTE)):
        with pytest.raises(PermanentError, match=words) as raised:
            act()
        assert "readers:" in raised.value.hint and new not in raised.value.message
    assert Path(one.path).read_text() == f"{line}\n"
    known = store(tmp_path, f"{line}\n", readers=["systemd"])
    found = known.read()
    known.write(single(new), found.version if found else "", NOTE)
    assert known.read().values["key"].reveal() == new  # type: ignore[union-attr,index]


@pytest.mark.parametrize("value", ["changeme", "op://Dev/x/y", "${x}", "encrypted:abc"])
def test_what_is_no_key_is_not_written_either(tmp_path: Path, value: str) -> None:
    for one in (store(tmp_path, "KEY='old'\n"), FileStore(path=str(tmp_path / "key"))):
        with pytest.raises(PermanentError, match="the new value is"):
            one.fits([single(value)])


def test_a_new_line_is_exported_where_all_others_are(tmp_path: Path) -> None:
    one = store(tmp_path, "# mine\nexport A=1\nexport B=2\n")
    one.write(single("new-value"), "", NOTE)
    assert Path(one.path).read_text() == "# mine\nexport A=1\nexport B=2\nexport KEY=new-value\n"


@pytest.mark.parametrize(
    "content",
    [
        f"KEY={OLD}\n",
        f'KEY="{OLD}"\n',
        'A=1\r\nKEY="old\\$value"  # c\r\n',
        "KEY='old-value'\nKEY=old-value\nKEY=\"old-value\"\n",
        "export KEY = 'it is old'\n",
        '\ufeffKEY="old"',
    ],
)
@pytest.mark.parametrize("new", ["new-value", "a$b'c", 'x"y z', "back\\slash`#"])
def test_what_is_put_back_are_the_very_bytes(tmp_path: Path, content: str, new: str) -> None:
    one = store(tmp_path, content, readers=["compose"])
    found = one.read()
    assert found is not None and found.values is not None and found.spelled is not None
    old = single(found.values["key"].reveal())
    version = one.write(single(new), found.version, NOTE)
    assert one.read().values["key"].reveal() == new  # type: ignore[union-attr,index]
    from dataclasses import replace

    one.write(replace(old, spelled={one.name: found.spelled}), version, NOTE)
    assert Path(one.path).read_bytes() == content.encode()


def test_what_was_there_is_put_back_as_it_is_read_now(tmp_path: Path) -> None:
    """A spelling that is of another value, or of more lines than there are by now, is
    not believed.
    """
    from dataclasses import replace

    from rotator.secret import Secret

    one = store(tmp_path, "KEY='a'\n")
    for told in ({"KEY": ["'other'"]}, {"KEY": ["b", "b"]}, {}):
        spelled = {one.name: Secret(json.dumps(told))}
        one.write(replace(single("b"), spelled=spelled), one.read().version, NOTE)  # type: ignore[union-attr]
        assert Path(one.path).read_text() == "KEY='b'\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        # NousResearch/hermes-agent#1635: a line break was lost
        (f"KEY={OLD}OPENAI_BASE_URL=https://x/v1\n", "more than the assignment of KEY"),
        # theskumar/python-dotenv#544: quotes beside quotes
        ("KEY='I'\"'\"'m a key'\n", "another one to .*Compose"),
        # systemd/systemd#8857: a backslash that some readers take away
        ("KEY=s7@o8\\p=@us$0!\n", "another one to .*a shell"),
        # vlucas/phpdotenv#237: a private key over several lines
        ('KEY="-----BEGIN\n\\MIIE\n-----END"\n', "another one to|fit"),
        # oven-sh/bun#34003, edgehero/pi-dispatch#392: something behind the quotes
        ('KEY="hello" junk\nB="x"\n', "a shell"),
        ('KEY=a"b"c\n', "a shell"),
        # elixir-toniq/vapor#72: a document begins here
        ("KEY=<<EOF\nabc\nEOF\n", "a shell"),
        # NousResearch/hermes-agent#1635: what an unfinished setup left
        ("KEY=***\n", "a placeholder"),
    ],
)
def test_forms_that_people_have_reported_to_readers(
    tmp_path: Path, content: str, words: str
) -> None:
    one = store(tmp_path, content)
    if "BEGIN" not in content:
        refused(one, words)
        return
    found = (
        one.read()
    )  # every reader of quotes reads it alike; but a key of several lines is not one that we write
    assert found is not None
    with pytest.raises(PermanentError, match="line break"):
        one.fits([single("-----BEGIN\nnew")])


def test_a_name_that_is_glued_to_another_value_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "app.env"
    path.write_text("OTHER=abcOPENAI_API_KEY=sk-1\n")
    one = DotenvStore(path=str(path), key="OPENAI_API_KEY")
    with pytest.raises(PermanentError, match="behind another assignment"):
        one.read()


def test_sections_within_a_value_are_none(tmp_path: Path) -> None:
    """docker/cli#5057; and nodejs/node#53461: a blank before the quotes."""
    one = store(tmp_path, f'CONF="\n[config 1]\nkey1=val1\n"\nKEY= "{OLD}"\n')
    found = one.read()
    assert found is not None
    one.write(single("new-value"), found.version, NOTE)
    assert Path(one.path).read_text() == 'CONF="\n[config 1]\nkey1=val1\n"\nKEY= "new-value"\n'


class TestFile:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("old-value", "new"),
            ("old-value\n", "new\n"),
            ("old-value\r\n", "new\r\n"),
            ("\n\nold-value\n\n", "\n\nnew\n\n"),
            ("\ufeffold-value\r\n", "\ufeffnew\r\n"),
            (" old-value \n", " new \n"),
        ],
    )
    def test_line_ends_stay_and_come_back(self, tmp_path: Path, before: str, after: str) -> None:
        path = tmp_path / "key"
        path.write_bytes(before.encode())
        one = FileStore(path=str(path))
        found = one.read()
        assert found is not None and found.values is not None and found.spelled is not None
        version = one.write(single("new"), found.version, NOTE)
        assert path.read_bytes() == after.encode()
        from dataclasses import replace

        old = replace(single(found.values["key"].reveal()), spelled={one.name: found.spelled})
        one.write(old, version, NOTE)
        assert path.read_bytes() == before.encode()

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("$ANSIBLE_VAULT;1.1;AES256\n30\n", "Ansible"),
            ("op://Dev/x/y\n", "1Password"),
            ("your-api-key\n", "placeholder"),
            ("\0GITCRYPT\0\x11", "git-crypt"),
        ],
    )
    def test_what_is_no_key_is_refused(self, tmp_path: Path, content: str, words: str) -> None:
        path = tmp_path / "app.env"
        path.write_bytes(content.encode())
        path.chmod(0o600)
        with pytest.raises(PermanentError, match=words):
            FileStore(path=str(path)).read()

    def test_blanks_around_the_value_are_said(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("old-value \n")
        assert "white space behind the key" in FileStore(path=str(path)).preflight()[-1].text

    @pytest.mark.parametrize("value", ["\nkey", "key\n", "a\0b"])
    def test_what_would_be_read_as_another_does_not_fit(self, tmp_path: Path, value: str) -> None:
        one = FileStore(path=str(tmp_path / "key"))
        with pytest.raises(PermanentError, match="does not fit"):
            one.fits([single(value)])


@pytest.mark.parametrize(
    ("version", "reader"),
    [
        ("2.29.1", "compose"),
        ("5.0.0", "compose"),
        ("", "compose"),
        ("1.29.2", "compose-1"),
        ("1.26.0", "compose-1"),
        ("1.x", "compose-1"),
        ("1.25.5", "docker"),
    ],
)
def test_a_file_of_compose_is_read_as_the_compose_does_that_made_the_container(
    version: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("KEY=x\n")
    labels = {
        "com.docker.compose.version": version,
        "com.docker.compose.project.working_dir": str(tmp_path),
    }
    made = Container({"Id": "c", "Name": "/web-1", "Config": {"Labels": labels}})
    monkeypatch.setattr(ComposeRestarter, "_containers", lambda self, service: [made])
    monkeypatch.setattr(ComposeRestarter, "_texts", lambda self, container: [])
    plugin = ComposeRestarter(services=["web"])
    assert plugin.env_reader(None, str(tmp_path / ".env")) == reader


def test_what_compose_2_would_replace_and_compose_1_does_not_is_known_to_be_right() -> None:
    """`$` without braces."""
    line = Line("KEY=", "a$b")
    assert right(line, "a$b") >= {"compose-1", "python-dotenv"} and "compose" not in right(
        line, "a$b"
    )
