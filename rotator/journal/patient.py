"""Connections to PostgreSQL that give a server up that says nothing: its machine is gone, or it is
frozen.

A kernel acknowledges what a frozen server never reads, so TCP's own time-outs do not see that; nor
does a `statement_timeout`, which the server itself would have to notice. Options of the start-up
packet are none of these: a pooler refuses them. Source: libpq, "Parameter Key Words".
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.waiting import Ready
from sqlalchemy import Engine, create_engine, event

from rotator.journal import tables
from rotator.journal.address import Address

if TYPE_CHECKING:
    from rotator.journal.database import Silence

T = TypeVar("T")

# A network that swallows everything: noticed after 20 s with something on its way, or idle.
TCP = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}


class Patient(psycopg.Connection[Any]):
    """`psycopg.Connection`, with a limit of silence in each exchange."""

    silence: Silence | None = None

    def wait(self, gen: Generator[Any, Any, T], *given: Any, **named: Any) -> T:
        """Raises psycopg.OperationalError, and is closed, where the server says nothing for too
        long.
        """
        seconds = self.silence.seconds if self.silence is not None else None
        if seconds is None:
            return super().wait(gen, *given, **named)
        return super().wait(self._minded(gen, seconds), *given, **named)

    def _minded(self, gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
        """The same steps. Whoever waits for the socket asks it in vain several times a second."""
        ready, heard = None, time.monotonic()
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as over:
                return over.value  # type: ignore[no-any-return]
            ready = yield wanted
            if ready != Ready.NONE:
                heard = time.monotonic()
            elif time.monotonic() - heard > seconds:
                self.close()
                raise psycopg.OperationalError(
                    f"the server has said nothing for {seconds:.0f} s: is it frozen?"
                )


def engine(place: Address, silence: Silence) -> Engine:
    """Its connections give a silent server up. What the address says of time-outs counts first."""
    tables.know_postgresql()
    usual = {name: value for name, value in TCP.items() if name not in place.url.query}
    # No statement is prepared by name: a pooler gives each transaction another connection,
    # which has none of them.
    arguments = {**usual, "prepare_threshold": None, **place.arguments}
    made = create_engine(place.url, pool_pre_ping=True, connect_args=arguments)

    def connect(dialect: object, record: object, given: Any, named: Any) -> Patient:
        connection = Patient.connect(*given, **named)
        connection.silence = silence
        return connection

    event.listen(made, "do_connect", connect)
    return made
