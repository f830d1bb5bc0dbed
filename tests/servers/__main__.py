"""Real servers by hand.

python -m tests.servers NAME install      fetch or build what it needs into the cache
python -m tests.servers NAME start DIR    start it with all its files under DIR; prints KEY=VALUE lines
python -m tests.servers NAME env DIR      print those lines again
python -m tests.servers NAME pids DIR     its processes, for tests that kill or freeze one
python -m tests.servers NAME stop DIR     stop every process of it, and remove DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests import env_readers
from tests.servers import (
    bao,
    engine,
    helm,
    kube,
    moto,
    pgbouncer,
    prometheus,
    promtool,
    release,
    systemd,
    toxiproxy,
)
from tests.servers.server import Server, wipe
from tests.servers.tools import Failed

SERVERS: dict[str, type[Server]] = {
    "bao": bao.Bao,
    "engine": engine.Engine,
    "kube": kube.Kube,
    "systemd": systemd.Systemd,
    "toxiproxy": toxiproxy.Toxiproxy,
}
INSTALLED = {
    "moto": moto.install,
    "compose": engine.compose_2,
    "envfiles": env_readers.envfiles,
    "compose1": env_readers.docker_compose,
    "dotenv": env_readers.dotenv_of_node,
    "pgbouncer": pgbouncer.Pgbouncer.install,
    "prometheus": prometheus.install,
    "promtool": promtool.install,
    "helm": helm.install,
    "image": release.archive,
    **{name: kind.install for name, kind in SERVERS.items()},
}


def main(name: str = "", verb: str = "", folder: str = "") -> None:
    if verb == "install" and name in INSTALLED:
        INSTALLED[name]()
    elif verb in ("start", "env", "pids", "stop") and name in SERVERS and folder:
        server = SERVERS[name](Path(folder))
        if verb == "start":
            server.start()
        if verb == "stop":
            wipe(server)
        for key, value in (server.pids if verb == "pids" else server.env).items():
            print(f"{key}={value}")
    else:
        sys.exit(f"{__doc__}\nnames: {', '.join(sorted(INSTALLED))}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed as error:
        sys.exit(f"error: {error}")
