"""daemon: the process that stays."""

from __future__ import annotations

from typing import Any

import click

from rotator.cli.common import CONTEXT, closing, examples, service
from rotator.daemon.listening import DEFAULT


@click.command(
    "daemon",
    context_settings=CONTEXT,
    epilog=examples(
        "rotator daemon",
        "rotator daemon --listen /run/rotator/rotator.sock",
        "rotator daemon --listen off",
    ),
)
@click.option(
    "--listen",
    default=DEFAULT,
    show_default=True,
    metavar="PLACE",
    help="Where /livez, /readyz, /metrics and /api/v1/status are answered:"
    " HOST:PORT, the path of a socket, or off.",
)
def daemon(listen: str) -> int:
    """Rotate what is due, whenever it is due, until SIGTERM.

    SIGHUP reads all playbooks again; they are read when they change, too.
    """
    from rotator.daemon.listening import place_of
    from rotator.daemon.service import serve

    place = place_of(listen)
    with closing(service("daemon")) as opened:

        def status() -> dict[str, Any]:
            from rotator.cli.overview import as_data
            from rotator.views.status import status as status_of_all

            return as_data(status_of_all(opened))

        return serve(opened, place, status)
