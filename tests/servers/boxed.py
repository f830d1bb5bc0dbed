"""Run as a program: the first process of a box, and the carrier of TCP connections into one.

python boxed.py init READY                                              reaps what its parents left behind
python boxed.py forward LISTEN_NS ADDRESS CONNECT_NS ADDRESS READY      a namespace is a process id, or "self"
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
from pathlib import Path

CLONE_NEWNET = 0x40000000


def init_main(ready):
    """First process of a box: reaps what its parents left behind."""
    signal.signal(signal.SIGCHLD, lambda *_: None)
    Path(ready).write_text("ok\n")
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.sigtimedwait({signal.SIGCHLD}, 1)


def forward_main(listen_ns, listen, connect_ns, connect, ready):
    libc = ctypes.CDLL(None, use_errno=True)
    ns = {n: os.open(f"/proc/{n}/ns/net", os.O_RDONLY) for n in {"self", listen_ns, connect_ns}}

    def enter(n):
        if libc.setns(ns[n], CLONE_NEWNET):
            e = ctypes.get_errno()
            raise OSError(e, os.strerror(e))

    def address(text):
        host, _, port = text.rpartition(":")
        return host, int(port)

    if listen_ns != "self":
        enter(listen_ns)
    server = socket.create_server(address(listen), backlog=128)
    if connect_ns != listen_ns:
        enter(connect_ns)  # threads started from here on make their sockets there
    Path(ready).write_text("ok\n")

    def pump(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (a, b):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def serve(client):
        try:
            upstream = socket.create_connection(address(connect), timeout=10)
        except OSError:
            client.close()
            return
        upstream.settimeout(None)
        other = threading.Thread(target=pump, args=(upstream, client), daemon=True)
        other.start()
        pump(client, upstream)
        other.join()
        client.close()
        upstream.close()

    while True:
        client, _ = server.accept()
        for level, option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY),):
            client.setsockopt(level, option, 1)
        threading.Thread(target=serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    {"init": init_main, "forward": forward_main}[sys.argv[1]](*sys.argv[2:])
