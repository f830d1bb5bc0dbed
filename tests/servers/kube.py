"""Kubernetes with etcd, a real kubelet and containerd, in a box; its API is carried to 127.0.0.1.

Pods run programs of the machine: its /usr is mounted into an empty image. They reach the machine's
127.0.0.1:PORT at an address that `inward` gives; the machine reaches theirs by `outward`. 1.35 is
the last line of Kubernetes that takes containerd 1.x, which is Debian 12's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import images
from tests.servers.server import Server
from tests.servers.tools import (
    ENV,
    HERE,
    HOST,
    Failed,
    apt,
    free_port,
    go_build,
    may_install,
    run,
    wait_for,
)

VERSION = "v1.35.4"
IMAGE = "docker.io/library/rotator-app:1"
_PAUSE = "docker.io/library/rotator-pause:1"
_OUTSIDE = "10.253.0.1"  # the machine, as pods see it
_SERVICE = "10.254.0.1/32"  # of `kubernetes.default`
# The kubelet would set these for the whole machine unless it finds them as it wants: in its box, it
# does
_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}


class Kube(Server):
    """`env` has KUBECONFIG. `kubectl` runs the real one."""

    root = True
    _reached = False  # by pods

    @classmethod
    def install(cls) -> Path:
        if not may_install():  # minutes, and root: `make test` is for Python alone
            pytest.skip("Kubernetes is tested with one of its own: CI=1 make test, as root")
        tools = (
            "containerd",
            "ctr",
            "runc",
            "/usr/lib/cni/bridge",
            "busybox",
            "openssl",
            "ip",
            "nsenter",
        )
        packages = (
            "containerd",
            "runc",
            "containernetworking-plugins",
            "busybox-static",
            "openssl",
            "iproute2",
        )
        apt(*packages, tools=tools)
        major, minor = VERSION[1:].split(".")[:2]
        names = {"Version": VERSION, "Major": major, "Minor": minor, "TreeState": "clean"}
        modules = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        flags = (
            f"-X {module}.git{name}={value}" for module in modules for name, value in names.items()
        )
        return go_build("kube", ".", " ".join(flags))

    def up(self) -> dict[str, Any]:
        self.program, self.port, self.token = self.install(), free_port(), secrets.token_hex(16)
        self.first = self.box(*self._own_kernel_settings(), *_ROUTES)
        self._certificates()
        self._write("tokens.csv", f"{self.token},admin,admin,system:masters\n")
        inside, outside = (
            self.kubeconfig("inside", 6443, self.token),
            self.kubeconfig("config", self.port, self.token),
        )
        self._etcd()
        self._apiserver()
        self.forward("api", "self", f"{HOST}:{self.port}", str(self.first), "127.0.0.1:6443")
        wait_for("apiserver", lambda: self.call("GET", "/readyz"), 60, 0.05, self.ended)
        self._controllers(inside)
        self._containerd()
        self._kubelet(inside)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_for("default service account", lambda: self.call("GET", account), 60, 0.05, self.ended)
        wait_for("node", self._node_is_ready, 90, 0.05, self.ended)
        (self.dir / "kubectl").unlink(missing_ok=True)
        (self.dir / "kubectl").symlink_to(self.program)
        return {"KUBECONFIG": outside}

    # --- what tests use ---
    def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """A request to the API; its answer as JSON (or text). Raises Failed."""
        data = None if body is None else json.dumps(body).encode()
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"authorization": f"Bearer {token or self.token}", "content-type": kind}
        request = urllib.request.Request(
            f"https://{HOST}:{self.port}{path}", data, headers, method=method
        )
        context = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read()[:600]!r}") from error
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Raises Failed with what it said."""
        argv = [str(self.dir / "kubectl"), "--kubeconfig", str(self.dir / "config"), *arguments]
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, env=ENV
        )
        if done.returncode:
            raise Failed(f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """`kubectl apply --server-side`, so that no value is copied into an annotation."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed)
        )

    def kubeconfig(self, name: str, port: int, token: str, namespace: str = "default") -> Path:
        """A kubeconfig for whoever this token is."""
        authority = base64.b64encode((self.dir / "ca.crt").read_bytes()).decode()
        server = {"server": f"https://{HOST}:{port}", "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "user", "namespace": namespace},
                }
            ],
        }
        return self._write(name, json.dumps(config))

    def inward(self, port: int) -> str:
        """The address at which pods reach the machine's 127.0.0.1:PORT."""
        self.forward(f"in-{port}", str(self.first), f"{_OUTSIDE}:{port}", "self", f"{HOST}:{port}")
        return f"{_OUTSIDE}:{port}"

    def api_for_pods(self) -> None:
        """From now on pods reach the API server at the Service's address that they are told, as
        kube-proxy would have it.
        """
        if not self._reached:
            self._reached = True
            run(
                [
                    "nsenter",
                    "-t",
                    self.first,
                    "-n",
                    "--",
                    "ip",
                    "addr",
                    "add",
                    _SERVICE,
                    "dev",
                    "lo",
                ]
            )
            box = str(self.first)
            self.forward("api-service", box, f"{_SERVICE[:-3]}:443", box, "127.0.0.1:6443")

    def load(self, archive: Path) -> None:
        """Images of a docker-archive, for pods of any namespace."""
        run([*self._ctr, "-n", "k8s.io", "images", "import", archive])

    def volume(self, name: str, namespace: str, claim: str, folder: Path) -> None:
        """A folder of the machine as the volume for a claim, as a provisioner would make it."""
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOncePod"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"name": claim, "namespace": namespace},
            "hostPath": {"path": str(folder), "type": "Directory"},
        }
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    def namespace(self, name: str) -> str:
        """A new namespace with its default service account."""
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for(f"namespace {name}", lambda: self.call("GET", account), 20)
        return name

    def outward(self, service: str, namespace: str) -> str:
        """An address on the machine that leads to the ready pods of a Service."""
        port, name = free_port(), f"{namespace}-{service}"
        ready = self.dir / f"{name}.ready"
        ready.unlink(missing_ok=True)
        api = ["https://127.0.0.1:6443", self.token, self.dir / "ca.crt"]
        argv = [
            sys.executable,
            HERE / "kube_balancer.py",
            f"{HOST}:{port}",
            *api,
            namespace,
            service,
            ready,
        ]
        self.spawn(f"balancer-{name}", argv, box=self.first, grace=1, signal=signal.SIGKILL)
        wait_for(name, ready.exists, 20, 0.02, self.ended)
        self.forward(f"out-{name}", "self", f"{HOST}:{port}", str(self.first), f"{HOST}:{port}")
        return f"http://{HOST}:{port}"

    def get(self, kind: str, name: str, namespace: str) -> Any:
        return json.loads(
            self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--show-managed-fields")
        )

    def pods(self, namespace: str, app: str = "") -> list[Any]:
        """Pods that run, or are being ended."""
        chosen = ["-l", f"app={app}"] if app else []
        found = json.loads(self.kubectl("get", "pods", "-n", namespace, "-o", "json", *chosen))[
            "items"
        ]
        return [one for one in found if one["status"].get("phase") not in ("Succeeded", "Failed")]

    def rolled_out(self, *names: str, namespace: str, seconds: int = 60) -> None:
        for name in names:
            words = ["rollout", "status", name, "-n", namespace, f"--timeout={seconds}s"]
            self.kubectl(*words, timeout=seconds + 60)

    def variable(self, pod: str, namespace: str, variable: str) -> str:
        """What a pod's first process was started with."""
        told = self.kubectl("exec", pod, "-n", namespace, "--", "cat", "/proc/1/environ")
        return next(
            word.partition("=")[2] for word in told.split("\0") if word.startswith(f"{variable}=")
        )

    def requests_of(self, account: str, namespace: str) -> Counter[str]:
        """How often a service account has asked, by verb and resource."""
        seen: dict[str, str] = {}
        for line in (self.dir / "audit.log").read_text().splitlines():
            told = json.loads(line)
            if told["user"]["username"] == f"system:serviceaccount:{namespace}:{account}":
                about = told.get("objectRef") or {}
                seen[told["auditID"]] = (
                    f"{told['verb']} {about.get('resource', told['requestURI'])}"
                )
        return Counter(seen.values())

    # --- its parts ---
    def _write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def _own_kernel_settings(self) -> Iterator[str]:
        for name, value in _SETTINGS.items():
            file = self._write(f"kernel/{name}", f"{value}\n", 0o644)
            if Path("/proc/sys", name).exists():
                yield f"mount --bind '{file}' /proc/sys/{name}"

    def _certificates(self) -> None:
        def openssl(*arguments: str) -> None:
            run(["openssl", *arguments], cwd=self.dir)

        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl(
            *(
                "req",
                "-x509",
                *new,
                "-keyout",
                "ca.key",
                "-out",
                "ca.crt",
                "-subj",
                "/CN=test-ca",
                "-days",
                "365",
            ),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        openssl("req", *new, "-keyout", "srv.key", "-out", "srv.csr", "-subj", "/CN=kube-apiserver")
        names = f"DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.254.0.1,IP:{_OUTSIDE}"
        self._write(
            "srv.ext",
            f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n",
        )
        openssl(
            *(
                "x509",
                "-req",
                "-in",
                "srv.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "365",
            ),
            *("-extfile", "srv.ext", "-out", "srv.crt"),
        )
        openssl("genrsa", "-out", "sa.key", "2048")
        openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def _etcd(self) -> None:
        clients, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        options = [
            "--data-dir",
            self.dir / "etcd",
            "--listen-client-urls",
            clients,
            "--advertise-client-urls",
            clients,
        ]
        options += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        options += ["--initial-cluster", f"default={peers}", "--unsafe-no-fsync"]
        self.spawn("etcd", [self.program, "etcd", *options], box=self.first)

    def _apiserver(self) -> None:
        d, issuer = self.dir, "https://kubernetes.default.svc"
        options = {
            "etcd-servers": "http://127.0.0.1:2379",
            "bind-address": "127.0.0.1",
            "secure-port": "6443",
            "advertise-address": _OUTSIDE,
            "endpoint-reconciler-type": "none",
            "tls-cert-file": f"{d}/srv.crt",
            "tls-private-key-file": f"{d}/srv.key",
            "client-ca-file": f"{d}/ca.crt",
            "token-auth-file": f"{d}/tokens.csv",
            "authorization-mode": "Node,RBAC",
            "service-account-key-file": f"{d}/sa.pub",
            "service-account-signing-key-file": f"{d}/sa.key",
            "service-account-issuer": issuer,
            "api-audiences": f"{issuer},vault",
            "service-cluster-ip-range": "10.254.0.0/24",
            "allow-privileged": "true",
            "profiling": "false",
            "shutdown-delay-duration": "0s",
            "cert-dir": f"{d}/run",
            "audit-policy-file": f"{d}/audit.json",
            "audit-log-path": f"{d}/audit.log",
        }
        counted = [
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": counted}
        self._write("audit.json", json.dumps({**policy, "omitStages": ["RequestReceived"]}))
        argv = [
            self.program,
            "kube-apiserver",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        self.spawn("apiserver", argv, box=self.first)

    def _controllers(self, config: Path) -> None:
        d = self.dir
        common = [
            f"--kubeconfig={config}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ]
        common += [f"--cert-dir={d}/run"]
        without = ("node-ipam", "node-route", "service-lb", "cloud-node-lifecycle")
        options = [f"--service-account-private-key-file={d}/sa.key", f"--root-ca-file={d}/ca.crt"]
        options += [
            "--controllers=" + ",".join(["*", *(f"-{name}-controller" for name in without)])
        ]
        self.spawn(
            "controllers",
            [self.program, "kube-controller-manager", *common, *options],
            box=self.first,
        )
        self.spawn("scheduler", [self.program, "kube-scheduler", *common], box=self.first)

    def _containerd(self) -> None:
        d = self.dir
        ranges = {
            "type": "host-local",
            "dataDir": f"{d}/ipam",
            "ranges": [[{"subnet": "10.253.7.0/24"}]],
        }
        address = {**ranges, "routes": [{"dst": "0.0.0.0/0"}]}
        bridge = {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": address,
        }
        network = {"cniVersion": "0.4.0", "name": "test", "plugins": [bridge]}
        self._write("cni/10-test.conflist", json.dumps(network))
        self._write("containerd.toml", _CONTAINERD.format(d=d, pause=_PAUSE))
        self.spawn("containerd", ["containerd", "--config", d / "containerd.toml"], box=self.first)
        ctr = self._ctr
        wait_for("containerd", lambda: run([*ctr, "version"]), 30, 0.05, self.ended)
        for name, image in ((_PAUSE, images.busybox(_PAUSE)), (IMAGE, images.empty(IMAGE))):
            archive = d / "image.tar"
            archive.write_bytes(image)
            run([*ctr, "-n", "k8s.io", "images", "import", archive])
            assert name in run([*ctr, "-n", "k8s.io", "images", "ls", "-q"])

    @property
    def _ctr(self) -> list[Any]:
        inside = ["nsenter", "-t", str(self.first), "-n", "-m", "-p", "--"]
        return [*inside, "ctr", "-a", f"{self.dir}/containerd.sock"]

    def _kubelet(self, config: Path) -> None:
        d = self.dir
        old = any(
            line.split()[2] == "cgroup"
            for line in Path("/proc/self/mounts").read_text().splitlines()
        )
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "readOnlyPort": 0,
            "healthzBindAddress": "127.0.0.1",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup(),
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "evictionHard": {
                "memory.available": "1Mi",
                "nodefs.available": "0%",
                "imagefs.available": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "syncFrequency": "5s",
            "fileCheckFrequency": "5s",
            "nodeStatusUpdateFrequency": "2s",
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "maxPods": 230,
            "localStorageCapacityIsolation": False,
            "containerRuntimeEndpoint": f"unix://{d}/containerd.sock",
            "podLogsDir": f"{d}/pod-logs",
            **({"failCgroupV1": False} if old else {}),
        }
        self._write("kubelet.json", json.dumps(settings))
        options = [
            f"--kubeconfig={config}",
            f"--config={d}/kubelet.json",
            f"--root-dir={d}/kubelet",
        ]
        options += [f"--cert-dir={d}/run", "--hostname-override=localhost", f"--node-ip={_OUTSIDE}"]
        self.spawn("kubelet", [self.program, "kubelet", *options], box=self.first)

    def _node_is_ready(self) -> bool:
        conditions = self.call("GET", "/api/v1/nodes/localhost")["status"].get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


_ROUTES = (
    "ip link add outside type veth peer name outside-end",
    "ip link set outside-end up",
    f"ip addr add {_OUTSIDE}/24 dev outside",
    "ip link set outside up",
    "ip route add default dev outside",
)

_CONTAINERD = """\
version = 2
root = "{d}/containerd/root"
state = "{d}/containerd/state"
[grpc]
  address = "{d}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{d}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{d}/cni"
"""
