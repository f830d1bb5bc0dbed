"""Run as a program in a cluster's box: what a Service's traffic meets, as kube-proxy would do it on
other machines.

python kube_balancer.py LISTEN API_URL TOKEN CA_FILE NAMESPACE SERVICE READY     needs nothing but Python

Connections go to the endpoints that are ready, in turn; one that is not taken is offered to the
next one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import ssl
import sys
import threading
import time
import urllib.request
from pathlib import Path

PORT = 8080
endpoints: list[str] = []
turn = itertools.count()


def follow(url: str, token: str, authority: str, namespace: str, service: str) -> None:
    """Ask for the endpoints again and again; while nobody answers, the last ones stand."""
    context = ssl.create_default_context(cafile=authority)
    where = f"{url}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    where += f"?labelSelector=kubernetes.io/service-name%3D{service}"
    request = urllib.request.Request(where, headers={"authorization": f"Bearer {token}"})
    while True:
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:
                slices = json.loads(answer.read())["items"]
            found = [one for piece in slices for one in piece.get("endpoints") or ()]
            endpoints[:] = [one["addresses"][0] for one in found if one["conditions"].get("ready")]
        time.sleep(0.05)


def serve(client: socket.socket) -> None:
    there = list(endpoints)
    first = next(turn)
    for number in range(len(there)):
        try:
            upstream = socket.create_connection(
                (there[(first + number) % len(there)], PORT), timeout=2
            )
        except OSError:
            continue
        upstream.settimeout(None)
        other = threading.Thread(target=pump, args=(upstream, client), daemon=True)
        other.start()
        pump(client, upstream)
        other.join()
        upstream.close()
        break
    client.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    listen, url, token, authority, namespace, service, ready = sys.argv[1:]
    host, _, port = listen.rpartition(":")
    server = socket.create_server((host, int(port)), backlog=256)
    threading.Thread(
        target=follow, args=(url, token, authority, namespace, service), daemon=True
    ).start()
    Path(ready).write_text("ok\n")
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
