"""Where the journal's database is: URLs and connection strings as platforms give them, or one
sentence why not.

Of an address that is wrong nothing is shown: any part of it may be a piece of a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rotator.errors import ConfigError
from rotator.secret import Secret

if TYPE_CHECKING:
    from sqlalchemy import URL

_SETTING = "ROTATOR_DATABASE_URL (or `database_url` in rotator.toml)"
_SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:////absolute/path/journal.db"
ENCODED = (
    "in a URL a password's special characters are encoded: @ is %40, : %3A, / %2F, ? %3F, # %23,"
    " % %25"
)
_POSTGRES = (
    "postgres",
    "postgresql",
    "postgresql+psycopg",
)  # the first as Heroku and others write it
_SQLITE = ("sqlite", "sqlite+pysqlite")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*?)://")
_CONNINFO = re.compile(r"\s*[a-z_]+\s*=")  # libpq's key=value pairs


@dataclass(frozen=True)
class Address:
    """What SQLAlchemy is given, and `where`: the same for people, without user and password."""

    url: URL
    where: str
    arguments: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # of libpq, beside the URL
    password: Secret | None = None  # known to the redactor for as long as this lives


def parse(text: str) -> Address:
    """Raises ConfigError, ModuleNotFoundError (PostgreSQL's driver is not installed)."""
    text = text.strip()
    if not (found := _SCHEME.match(text)):
        if _CONNINFO.match(text):
            return _of_conninfo(text)
        quoted = "; take the quotation marks off" if text[:1] in "\"'" else ""
        raise ConfigError(f"{_SETTING} is no URL", f"write it as {_SHAPE}{quoted}")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme in _SQLITE:
        return _of_sqlite(rest)
    if scheme in _POSTGRES:
        return _of_postgres(rest)
    if scheme.startswith(("postgres", "sqlite")):
        raise ConfigError(
            f"{_SETTING} names a driver that rotator does not use: {scheme}",
            f"write {scheme.partition('+')[0].replace('postgres:', 'postgresql:')}://… and leave"
            " the rest as it is",
        )
    raise ConfigError(
        f"{_SETTING} is of {scheme}", f"the journal is kept in PostgreSQL or SQLite: {_SHAPE}"
    )


def _of_sqlite(rest: str) -> Address:
    from sqlalchemy.engine import make_url

    if rest and not rest.startswith("/"):
        raise ConfigError(
            f"{_SETTING} has no path after the third slash",
            "sqlite:///relative/path, or sqlite:////absolute/path",
        )
    url = make_url(f"sqlite:///{rest[1:]}")
    return Address(url, url.database or "memory")


def _of_postgres(rest: str) -> Address:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    # A user may have an @ (`user@server:…`); after the one that ends the password there is none
    # that is not encoded.
    credentials = re.match(r"[^:/]*(:[^@]*)?@", rest)
    behind, _, query = rest[credentials.end() if credentials else 0 :].partition("?")
    if "@" in behind or ("@" in query and credentials is not None):
        raise ConfigError(f"{_SETTING} has an @ too many", ENCODED)
    try:
        url = make_url(f"postgresql+psycopg://{rest}")
    except (ArgumentError, ValueError) as error:  # what it says names a piece of the address
        raise ConfigError(
            f"{_SETTING} has a part that is none: is its port a number?", ENCODED
        ) from error
    _known_to_libpq(url.query)
    host = _text(url.query.get("host")) or url.host or "this machine"
    port = _text(url.query.get("port")) or url.port
    said = url.password or _text(url.query.get("password"))
    password = Secret(str(said)) if said else None
    return Address(url, _where(host, port, url.database), password=password)


def _of_conninfo(text: str) -> Address:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import URL

    try:
        found: dict[str, Any] = conninfo_to_dict(text)
    except ProgrammingError as error:
        hint = (
            "a value with blanks stands in '…', a quotation mark in it after a backslash; or write"
            f" it as {_SHAPE}"
        )
        raise ConfigError(
            f"{_SETTING} is a connection string that libpq does not understand", hint
        ) from error
    arguments = {name: str(value) for name, value in found.items() if value is not None}
    host = arguments.get("host") or arguments.get("hostaddr") or "this machine"
    where = _where(host, arguments.get("port"), arguments.get("dbname"))
    password = Secret(arguments["password"]) if arguments.get("password") else None
    return Address(URL.create("postgresql+psycopg"), where, arguments, password)


def _known_to_libpq(query: Mapping[str, Any]) -> None:
    """What clients of other languages take (`pgbouncer`, `schema`, `ssl`) would be libpq's error,
    word by word.
    """
    from psycopg import pq

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name in query:
        if name not in known:
            shown = f"a parameter that PostgreSQL's own library does not know: {name}"
            raise ConfigError(
                f"{_SETTING} has {shown}",
                "take it out; `sslmode=require` is how it is told to use TLS",
            )


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, (list, tuple)) else str(value or "")


def _where(host: str, port: Any, database: str | None) -> str:
    named = f", database {database}" if database else ""
    return f"PostgreSQL on {host}{f':{port}' if port else ''}{named}"
