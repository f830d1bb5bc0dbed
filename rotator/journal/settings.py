"""The journal's table of names and values."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from rotator.journal import tables

_META = tables.meta
_SETTING = select(_META.c.value).where(_META.c.name == bindparam("this"))
_SAVE_SETTING = update(_META).where(_META.c.name == bindparam("this"))
_ADD_SETTING = insert(_META)


def setting(connection: Connection, name: str) -> str:
    value = connection.execute(_SETTING, {"this": name}).scalar()
    return str(value) if value is not None else ""


def put_setting(connection: Connection, name: str, value: str) -> None:
    if not connection.execute(_SAVE_SETTING, {"this": name, "value": value}).rowcount:
        connection.execute(_ADD_SETTING, {"name": name, "value": value})
