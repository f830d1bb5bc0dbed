"""deploy/kubernetes for real: an image of this checkout in pods of a real kubelet, as a CronJob with
SQLite on a volume, and as three daemons on PostgreSQL.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.deployed import DEPLOY, EXAMPLES, KEY, NAME, Deployed, documents
from tests.docs.test_docs import DOCS, blocks
from tests.servers import manifests, postgres, release
from tests.servers.kube import Kube
from tests.servers.tools import ENV, Failed, wait_for

pytestmark = pytest.mark.timeout(1800)  # the first one may have to wait until the image is built
PAGE = DOCS / "kubernetes.md"
PYTHON = "/opt/rotator/bin/python"
SECRET = "paracle-api-keys"
_EXAMPLE = EXAMPLES / "kubernetes" / "paracle-api-playbook.yaml"
_ROTATOR_ID = 10001
LONG = 600  # seconds: a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def cluster(kube: Kube) -> Kube:
    """With the image in it, and its API where pods look for it."""
    kube.load(release.archive())
    kube.api_for_pods()
    return kube


class ClusterWorld(Deployed):
    """paracle-api in one namespace, rotator's account in another, with what its Role lets it."""

    def __init__(self, folder: Path, kube: Kube) -> None:
        super().__init__(folder)
        self.kube = kube
        number = self.issuer  # a port: no two worlds have the same
        self.app = kube.namespace(f"paracle-{number}")
        self.own = kube.namespace(f"rotator-{number}")
        self.inside = kube.inward(self.issuer)
        kube.apply(manifests.secret(SECRET, self.app, **{KEY: self.first}))
        kube.apply(*self._example())
        kube.rolled_out(f"deployment/{NAME}", namespace=self.app, seconds=LONG)
        kube.kubectl("-n", self.app, "apply", "-f", str(DEPLOY / "kubernetes" / "rbac.yaml"))
        account = f"--serviceaccount={self.own}:rotator"
        line = ["rolebinding", "rotator-program", "--role=rotator", account]
        kube.kubectl("-n", self.app, "create", *line)
        kube.apply(
            manifests.secret("rotator-sealing-key", self.own, **{"rotator.key": self.sealing_key}),
            manifests.secret("rotator-credentials", self.own, **{"openai-admin": self.admin_key}),
        )

    def _example(self) -> list[dict[str, Any]]:
        """The service of the tests in the place of the one that nobody has."""
        deployment, service = documents(EXAMPLES / "kubernetes" / "paracle-api.yaml")
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        container |= {"image": release.IMAGE, "command": [PYTHON, "/app/consumer.py", self.inside]}
        container["readinessProbe"]["httpGet"]["path"] = "/"
        container["volumeMounts"] = [{"name": "app", "mountPath": "/app"}]
        pod["volumes"] = [{"name": "app", "configMap": {"name": "consumer"}}]
        program = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "consumer", "namespace": self.app},
            "data": {"consumer.py": self.consumer},
        }
        for one in (deployment, service):
            one["metadata"]["namespace"] = self.app
        return [program, deployment, service]

    def apply(self, overlay: str, **patch: Any) -> None:
        """As the page has it: an overlay of one's own, with this namespace and these playbooks."""
        folder = self.folder / "overlay"
        (folder / "playbooks").mkdir(parents=True)
        book = self.playbook_of(
            "kubernetes",
            self.inside,
            store=[{"uses": "kubernetes", "secret": f"{self.app}/{SECRET}", "key": KEY}],
        )
        (folder / "playbooks" / f"{NAME}.yaml").write_text(book)
        (text,) = [body for body in blocks(PAGE, "yaml") if "kind: Kustomization" in body]
        own = yaml.safe_load(text)
        (base,) = own["resources"]
        assert base.endswith("deploy/kubernetes/overlays/cronjob")
        place = os.path.relpath(DEPLOY / "kubernetes" / "overlays" / overlay, folder)
        own |= {"namespace": self.own, "resources": [place]}
        (image,) = own["images"]
        assert image["name"] == "rotator"
        image |= {"newName": "rotator", "newTag": "0.1.0"}
        if patch:
            own["patches"] = [{"patch": json.dumps(patch)}]
        (folder / "kustomization.yaml").write_text(json.dumps(own))
        self.kube.kubectl("apply", "-k", str(folder))

    @property
    def stored(self) -> str:
        found = self.kube.get("secret", SECRET, self.app)["data"][KEY]
        return base64.b64decode(found).decode()

    def promises_hold(self) -> None:
        """One live key, in the Secret and in each pod."""
        key = self.stored
        assert self.live == [key]
        pods = [one for one in self.kube.pods(self.app) if _is_up(one)]
        held = [self.kube.variable(one["metadata"]["name"], self.app, KEY) for one in pods]
        assert held == [key] * 2

    def rotated_from(self, before: str) -> bool:
        return self.live == [self.stored] != [before]

    def shell(self, line: str) -> str:
        """A line of the page, typed with kubectl in the path."""
        line = re.sub(r"\bkubectl -n rotator\b", f"kubectl -n {self.own}", line)
        kubeconfig = str(self.kube.dir / "config")
        path = f"{self.kube.dir}:{ENV['PATH']}"
        done = subprocess.run(
            ["sh", "-ec", line],
            env={**ENV, "PATH": path, "KUBECONFIG": kubeconfig},
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.printed = f"{line}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, self.printed
        return done.stdout

    def job(self, name: str, *args: str) -> None:
        """A Job with the pods of the CronJob and these arguments, by the line of the page."""
        (line,) = [text for text in blocks(PAGE, "sh") if "create job --from=cronjob" in text]
        said = '["rotate", "openai-prod", "--compromised"]'
        assert said in line
        self.shell(line.replace(said, json.dumps(args)).replace("rotate-now", name))

    def ended(self, job: str) -> str:
        """What its pod said, once it has ended well or not: `succeeded`, or `failed`, before it."""

        def over() -> str:
            status = self.kube.get("job", job, self.own)["status"]
            return next((one for one in ("succeeded", "failed") if status.get(one)), "")

        how = wait_for(f"the job {job}", over, LONG, 0.5, lambda: self._stuck(job))
        return f"{how}\n{self.kube.kubectl('-n', self.own, 'logs', f'job/{job}')}"

    def pods_of(self, job: str) -> list[Any]:
        chosen = ["-l", f"batch.kubernetes.io/job-name={job}", "-o", "json"]
        found = json.loads(self.kube.kubectl("-n", self.own, "get", "pods", *chosen))["items"]
        return list(found)

    def _stuck(self, job: str) -> str:
        """What a kubelet says of a container that it cannot start."""
        for pod in self.pods_of(job):
            for one in pod["status"].get("containerStatuses", ()):
                why = one["state"].get("waiting", {})
                if why.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                    return f"{why}"
        return ""

    def close(self) -> None:
        for namespace in (self.own, self.app):
            self.kube.kubectl("delete", "namespace", namespace, "--wait=false")
        super().close()


def _is_up(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"


@pytest.fixture
def world(tmp_path: Path, cluster: Kube) -> Iterator[ClusterWorld]:
    found = ClusterWorld(tmp_path, cluster)
    yield found
    found.close()


@pytest.fixture
def cron(world: ClusterWorld) -> ClusterWorld:
    """The CronJob, which looks each minute here, on a volume as a provisioner gives it."""
    journal = world.folder / "journal"
    journal.mkdir()
    os.chown(journal, _ROTATOR_ID, _ROTATOR_ID)
    for folder in (world.folder, *world.folder.parents[:2]):
        folder.chmod(0o755)
    world.kube.volume(f"journal-{world.own}", world.own, "rotator-journal", journal)
    world.apply(
        "cronjob",
        apiVersion="batch/v1",
        kind="CronJob",
        metadata={"name": "rotator"},
        spec={"schedule": "* * * * *"},
    )
    return world


def test_the_cron_job_rotates_what_is_due_and_a_command_beside_it(cron: ClusterWorld) -> None:
    """By its clock; then by hand, with the same account, volume and Secrets, also while the volume
    is in use; what it may not, it cannot.
    """
    wait_for("the clock's rotation", lambda: cron.rotated_from(cron.first), LONG, 0.5)
    wait_for("its end", lambda: _all_ended(cron), LONG, 0.5)
    cron.promises_hold()
    cron.kube.kubectl(
        "-n", cron.own, "patch", "cronjob/rotator", "-p", '{"spec": {"suspend": true}}'
    )

    leaked = cron.stored
    cron.job("leak", "rotate", NAME, "--compromised")
    said = cron.ended("leak")
    assert said.startswith("succeeded") and "is dead, proven" in said, said
    assert cron.rotated_from(leaked)
    cron.promises_hold()

    # A call that takes long has the volume: the next one waits for it, and carries on what it left.
    cron.admin("PUT", "/_faults", {"delay_create": 12})
    before = cron.stored
    cron.job("slow", "rotate", NAME)
    wait_for("its pod", lambda: any(map(_is_up, cron.pods_of("slow"))), LONG, 0.2)
    cron.job("urgent", "rotate", NAME, "--compromised", "--revoke-first")
    wait_for(
        "the scheduler's word", lambda: "ReadWriteOncePod" in _waits(cron, "urgent"), LONG, 0.2
    )
    (line,) = [text for text in blocks(PAGE, "sh") if "delete pod" in text]
    cron.shell(line.replace("POD", cron.pods_of("slow")[0]["metadata"]["name"]))
    cron.admin("PUT", "/_faults", {"delay_create": 0})
    said = cron.ended("urgent")
    assert said.startswith("succeeded"), said
    assert cron.rotated_from(before) and before not in cron.live
    cron.promises_hold()

    cron.shell(_with_args(DEPLOY / "kubernetes" / "rotate.yaml", ["status"], "by-file"))
    assert cron.ended("by-file").startswith("succeeded")
    cron.job("look", "plan", NAME)
    assert cron.ended("look").startswith("succeeded")


def _with_args(manifest: Path, args: list[str], name: str) -> str:
    """The line that makes a Job of a file, once its words are put in."""
    (job,) = documents(manifest)
    job["spec"]["template"]["spec"]["containers"][0]["args"] = args
    job["metadata"] = {"name": name}
    return f"echo {shlex.quote(json.dumps(job))} | kubectl -n rotator create -f -"


def _all_ended(cron: ClusterWorld) -> bool:
    jobs = json.loads(cron.kube.kubectl("-n", cron.own, "get", "jobs", "-o", "json"))["items"]
    assert not [one for one in jobs if one["status"].get("failed")], _logs(cron)
    return bool(jobs) and not any(one["status"].get("active") for one in jobs)


def _logs(cron: ClusterWorld) -> str:
    return cron.kube.kubectl(
        "-n", cron.own, "logs", "-l", "app.kubernetes.io/name=rotator", "--tail=50"
    )


def _waits(cron: ClusterWorld, job: str) -> str:
    conditions = [one for pod in cron.pods_of(job) for one in pod["status"].get("conditions", ())]
    return " ".join(str(one.get("message")) for one in conditions if one["status"] == "False")


_SHOWN = """
import os, pathlib, rotator.settings
folder = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"])
print("user", os.getuid(), sorted((one.name, oct(one.stat().st_mode & 0o777)) for one in folder.glob("[!.]*")))
for place in ("/opt/rotator/x", "/etc/x"):
    try:
        pathlib.Path(place).write_text("")
    except OSError as error:
        print("refused", error.strerror)
"""


def test_a_pod_without_a_volume_does_not_begin(cluster: Kube, tmp_path: Path) -> None:
    """Nor with an emptyDir, which ends with it; with a person's word it does. Its Secrets are its
    own, its root cannot be written.
    """
    namespace = cluster.namespace("volumeless")
    cluster.apply(
        manifests.secret("rotator-sealing-key", namespace, **{"rotator.key": "A" * 43 + "="}),
        manifests.secret("rotator-credentials", namespace, **{"openai-admin": "x" * 20}),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "rotator-playbooks", "namespace": namespace},
            "data": {f"{NAME}.yaml": _EXAMPLE.read_text()},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "rotator", "namespace": namespace},
        },
    )
    (job,) = documents(DEPLOY / "kubernetes" / "rotate.yaml")

    def run(name: str, volume: bool, *env: dict[str, str], **container: Any) -> tuple[int, str]:
        spec = json.loads(json.dumps(job["spec"]["template"]["spec"]))
        (own,) = spec["containers"]
        own |= {"args": ["rotate", "--due"], **container}
        own["env"] += env
        (place,) = [one for one in spec["volumes"] if one["name"] == "journal"]
        del place["persistentVolumeClaim"]
        place["emptyDir"] = {}
        if not volume:
            own["volumeMounts"] = [one for one in own["volumeMounts"] if one["name"] != "journal"]
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )

        def ended() -> Any:
            (found,) = cluster.get("pod", name, namespace)["status"].get("containerStatuses", [{}])
            return found.get("state", {}).get("terminated")

        code = wait_for(name, ended, LONG, 0.3)["exitCode"]
        return code, cluster.kubectl("-n", namespace, "logs", name)

    code, said = run("in-its-layer", volume=False)
    assert code == 2 and "would be lost with this container: it would lie in its own layer" in said
    assert "hint: mount a volume at /var/lib/rotator, or use PostgreSQL" in said
    code, said = run("in-an-empty-dir", volume=True)
    assert code == 2 and "it would lie in an emptyDir" in said, said
    meant = {"name": "ROTATOR_EPHEMERAL", "value": "true"}
    code, said = run("meant", True, meant, args=["status"])
    assert code == 0 and NAME in said, said
    code, said = run("looks", True, command=[PYTHON, "-c", _SHOWN])
    assert code == 0 and said.count("refused Read-only file system") == 2, said
    assert "user 10001 [('openai-admin', '0o440'), ('rotator.key', '0o440')]" in said, said


@pytest.fixture
def fleet(world: ClusterWorld) -> Iterator[ClusterWorld]:
    """Three daemons, and the PostgreSQL that they reach by its port."""
    with postgres.listening() as (port, url):
        address = world.kube.inward(port)
        inside = url.replace(f"127.0.0.1:{port}", address)
        world.kube.apply(manifests.secret("rotator-database", world.own, url=inside))
        world.apply("fleet")
        world.kube.rolled_out("deployment/rotator", namespace=world.own, seconds=LONG)
        yield world
        world.kube.kubectl("-n", world.own, "delete", "deployment/rotator", "--wait=true")


@pytest.mark.server("postgres")
def test_three_daemons_on_postgresql_rotate_once_and_end_in_order(fleet: ClusterWorld) -> None:
    """By the clock, whichever takes it; a leak by a command inside one of them; each ends with 0
    before the kubelet would kill it.
    """
    wait_for("the clock's rotation", lambda: fleet.rotated_from(fleet.first), LONG, 0.5)
    fleet.promises_hold()
    leaked = fleet.stored
    (line,) = [text for text in blocks(PAGE, "sh") if "exec deployment/rotator" in text]
    said = fleet.shell(line.replace("openai-prod", NAME))
    assert "is dead, proven" in said, said
    assert fleet.rotated_from(leaked)
    fleet.promises_hold()
    history = fleet.shell(
        f"kubectl -n rotator exec deployment/rotator -- rotator history {NAME} --json"
    )
    outcomes = [one["outcome"] for one in json.loads(history)["rotations"]]
    assert outcomes == ["verified", "verified"], history
    assert not [one for one in fleet.kube.pods(fleet.own) if _restarts(one)]
    doctor = fleet.shell("kubectl -n rotator exec deployment/rotator -- rotator doctor || true")
    assert "may be written by" not in doctor, doctor

    names = [one["metadata"]["name"] for one in fleet.kube.pods(fleet.own)]
    assert len(names) == 3
    with _watching(fleet) as seen:
        assert sum(_evicted(fleet, name) for name in names) == 1, "the budget allows one at a time"
        wait_for("a new one", lambda: _settled(fleet, names), LONG, 0.5)
    assert set(re.findall(r'"exitCode": (\d+)', "".join(seen))) == {"0"}


@contextlib.contextmanager
def _watching(fleet: ClusterWorld) -> Iterator[list[str]]:
    """Each state of the pods, as it is told."""
    kubectl = [str(fleet.kube.dir / "kubectl"), "--kubeconfig", str(fleet.kube.dir / "config")]
    argv = [*kubectl, "-n", fleet.own, "get", "pods", "-w", "-o", "json"]
    seen: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen.append(process.stdout.readline())
        reader = threading.Thread(target=seen.extend, args=(process.stdout,))
        reader.start()
        yield seen
        process.terminate()
        reader.join()


def _evicted(fleet: ClusterWorld, pod: str) -> bool:
    """As a drain of its node asks for it."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": fleet.own},
    }
    try:
        fleet.kube.call("POST", f"/api/v1/namespaces/{fleet.own}/pods/{pod}/eviction", body)
    except Failed as refused:
        assert "disruption budget" in str(refused)
        return False
    return True


def _settled(fleet: ClusterWorld, before: list[str]) -> bool:
    pods = fleet.kube.pods(fleet.own)
    names = {one["metadata"]["name"] for one in pods}
    ready = [one for one in pods if one["status"]["containerStatuses"][0].get("ready")]
    return len(names) == len(ready) == 3 and len(names - set(before)) == 1


def _restarts(pod: dict[str, Any]) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))
