"""The address of the journal's database as platforms give it works, or is refused in a sentence
without a password.
"""

from __future__ import annotations

import pytest

from rotator.errors import ConfigError, JournalError, RotatorError
from rotator.journal import address
from rotator.journal.database import Database


def _told(error: RotatorError) -> str:
    return f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg", "POSTGRES", " postgres"]
)
def test_what_platforms_call_postgresql_is_taken(scheme: str) -> None:
    found = address.parse(f"{scheme}://rot:pass-word@db.example:6432/journal?sslmode=require\n")
    assert (found.url.host, found.url.port, found.url.username) == ("db.example", 6432, "rot")
    assert found.url.drivername == "postgresql+psycopg" and found.url.password == "pass-word"
    assert found.where == "PostgreSQL on db.example:6432, database journal"


@pytest.mark.parametrize(
    ("text", "password", "where"),
    [
        (
            "host=10.0.0.7 port=6432 dbname=rot user=u password=secret-7",
            "secret-7",
            "10.0.0.7:6432, database rot",
        ),
        ("dbname='rot' host=db password='a \\'b@c'", "a 'b@c", "db, database rot"),
        ("host=/run/postgresql dbname=rot", None, "/run/postgresql, database rot"),
    ],
)
def test_a_connection_string_of_libpq_is_taken(text: str, password: str | None, where: str) -> None:
    found = address.parse(text)
    assert found.arguments.get("password") == password and found.where == f"PostgreSQL on {where}"
    assert password is None or password not in repr(found)


@pytest.mark.parametrize(
    ("password", "meant"),
    [
        ("half%40otherhalf", "half@otherhalf"),
        ("sl/ash?and#more", "sl/ash?and#more"),
        ("co:lon", "co:lon"),
    ],
)
def test_a_password_that_can_be_told_from_the_rest_is_taken(password: str, meant: str) -> None:
    found = address.parse(f"postgresql://u:{password}@127.0.0.1:5/rot")
    assert (
        found.url.password == meant
        and found.url.host == "127.0.0.1"
        and found.url.database == "rot"
    )


def test_a_user_with_its_server_is_taken() -> None:
    found = address.parse("postgresql://rot@server:pw12@db.example/rot?sslmode=require")
    assert (found.url.username, found.url.password, found.url.host) == (
        "rot@server",
        "pw12",
        "db.example",
    )


PIECES = ("firsthalf", "otherhalf", "lastpart")
WITH_AN_AT = [
    "firsthalf@otherhalf",
    "firsthalf@otherhalf@lastpart",
    "firsthalf@other:otherhalf",
    "firsthalf@otherhalf/lastpart",
    "firsthalf@otherhalf?lastpart",
    "firsthalf@otherhalf?lastpart=1",
    "firsthalf@?otherhalf#lastpart",
    "@firsthalf",
]


@pytest.mark.parametrize("password", WITH_AN_AT)
@pytest.mark.parametrize(
    "rest", ["127.0.0.1:5/rot", "127.0.0.1:5/rot?sslmode=disable", "[::1]/rot", "127.0.0.1"]
)
def test_a_password_with_an_at_is_refused_and_no_piece_of_it_is_shown(
    password: str, rest: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        Database(f"postgresql://u:{password}@{rest}")
    assert "@ is %40" in refused.value.hint
    assert not [piece for piece in PIECES if piece in _told(refused.value)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "postgresql+psycopg2://u:firsthalf@h/rot",
            "driver that rotator does not use: postgresql+psycopg2",
        ),
        ("postgresql+asyncpg://u:firsthalf@h/rot", "write postgresql://"),
        ("sqlite+aiosqlite:////srv/journal.db", "write sqlite://"),
        ("mysql://u:firsthalf@h/rot", "is of mysql"),
        ("jdbc:postgresql://h/rot?user=u&password=firsthalf", "is of jdbc:postgresql"),
        ("/var/lib/rotator/journal.db", "is no URL"),
        ('"postgresql://u:firsthalf@h/rot"', "take the quotation marks off"),
        ("u:firsthalf@h/rot", "is no URL"),
        ("postgresql://u:firsthalf@h:54x2/rot", "is its port a number?"),
        ("postgresql://u:firsthalf@h/rot?schema=public", "does not know: schema"),
        ("postgres://u:firsthalf@h/rot?sslmode=require&pgbouncer=true", "does not know: pgbouncer"),
        ("sqlite://journal.db", "after the third slash"),
        ("host=h password=firsthalf otherhalf", "libpq does not understand"),
        ("host=h passwrd=firsthalf", "libpq does not understand"),
    ],
)
def test_what_is_no_address_is_a_sentence_with_a_way_out(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Database(text)
    assert (
        words in _told(refused.value)
        and "ROTATOR_DATABASE_URL" in refused.value.message
        and refused.value.hint
    )
    assert not [piece for piece in PIECES if piece in _told(refused.value)]


@pytest.mark.parametrize(
    "text",
    [
        "postgres://u:firsthalf@127.0.0.1:5/rot",
        "host=127.0.0.1 port=5 dbname=rot password=firsthalf",
    ],
)
def test_a_server_that_is_not_there_is_told_without_user_and_password(text: str) -> None:
    with pytest.raises(JournalError) as refused:
        Database(text).prepare()
    assert "(PostgreSQL on 127.0.0.1:5, database rot)" in refused.value.message
    assert "firsthalf" not in _told(refused.value)


def test_files_are_where_they_were() -> None:
    assert str(Database("sqlite:////srv/a@b/journal.db").path) == "/srv/a@b/journal.db"
    assert str(Database("sqlite:///state/journal.db").path) == "state/journal.db"
    assert Database("sqlite://").path is None
