"""Services of Amazon ECS: requests at moto, which starts no tasks; roll-outs in the shapes of AWS's
API reference.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from rotator.errors import ConfigError, NotFound, PermanentError
from rotator.integrations.aws import client as door
from rotator.integrations.aws.deployments import bare, is_fixed
from rotator.integrations.aws.ecs import EcsRestarter
from rotator.integrations.aws.secrets_manager import AwsSecretsManagerStore
from rotator.model import Change, Level, NotYet, single
from rotator.testing.restarters import RestarterContract
from tests.servers import moto

_count = itertools.count(1)


def change(since: float) -> Change:
    return Change("r1", since, single("second-value"))


@pytest.fixture(name="aws", scope="module")
def _aws(aws: moto.Aws) -> moto.Aws:
    aws.client("ecs").create_cluster(clusterName="main")
    return aws


class TestAtMoto:
    @pytest.fixture
    def restarter(self, aws: moto.Aws, monkeypatch: pytest.MonkeyPatch) -> EcsRestarter:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        self.ecs, name = aws.client("ecs"), f"api{next(_count)}"
        secrets = [{"name": "OPENAI_API_KEY", "valueFrom": f"{_SECRET}:KEY::"}]
        container = {"name": "api", "image": "api", "memory": 64, "secrets": secrets}
        self.ecs.register_task_definition(family=name, containerDefinitions=[container])
        self.ecs.create_service(
            cluster="main", serviceName=name, taskDefinition=name, desiredCount=1
        )
        return EcsRestarter(services=[name], cluster="main")

    def deployment(self, restarter: EcsRestarter) -> str:
        found = self.ecs.describe_services(cluster="main", services=restarter.services)["services"][
            0
        ]
        return str(found["deployments"][0]["id"])

    def test_a_service_is_deployed_anew_once(self, restarter: EcsRestarter) -> None:
        before, wanted = self.deployment(restarter), change(time.time())
        assert isinstance(restarter.restart(wanted), NotYet), (
            "it must be seen to be later than the write"
        )
        assert self.deployment(restarter) == before
        while isinstance(answer := restarter.restart(wanted), NotYet):
            time.sleep(answer.retry_in)
        after = self.deployment(restarter)
        assert after != before and restarter.progress(wanted).converged
        assert restarter.restart(wanted) is None and self.deployment(restarter) == after, (
            "the same change again"
        )

    def test_a_service_that_is_well_is_told(self, restarter: EcsRestarter) -> None:
        assert [one.text for one in restarter.preflight()] == [
            f"deploys service {restarter.services[0]} anew"
        ]

    def test_a_service_or_cluster_that_is_not_there_is_told(self, restarter: EcsRestarter) -> None:
        with pytest.raises(NotFound, match="no service nobody in main"):
            EcsRestarter(services=["nobody"], cluster="main").preflight()
        with pytest.raises(NotFound, match="ClusterNotFound"):
            EcsRestarter(services=["nobody"], cluster="nowhere").preflight()

    def test_a_fixed_version_is_told_before_the_start(self, restarter: EcsRestarter) -> None:
        secrets = [{"name": "OPENAI_API_KEY", "valueFrom": f"{_SECRET}:KEY::0a1b2c3d"}]
        container = {"name": "api", "image": "api", "memory": 64, "secrets": secrets}
        name = restarter.services[0]
        self.ecs.register_task_definition(family=name, containerDefinitions=[container])
        self.ecs.update_service(cluster="main", service=name, taskDefinition=name)
        warning, _ = restarter.preflight()
        assert (
            warning.level is Level.WARNING and "OPENAI_API_KEY from a fixed version" in warning.text
        )
        error, _ = restarter.beside(
            [AwsSecretsManagerStore(secret="app/openai").writes]
        ).preflight()
        assert error.level is Level.ERROR and "OPENAI_API_KEY from a fixed version" in error.text
        (fine,) = restarter.beside(
            [AwsSecretsManagerStore(secret="app/another").writes]
        ).preflight()
        assert fine.level is Level.OK, (
            "a fixed version of what this playbook does not write is nobody's trouble"
        )


_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/openai-AbCdEf"


class Ecs:
    """Answers of AWS to a service with one deployment after the other; `ahead`: seconds of its
    clock.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ahead: float = 0.0) -> None:
        self.ahead, self.forced, self.value_from = ahead, 0, ""
        self.service: dict[str, Any] = {
            "serviceName": "api",
            "serviceArn": "arn:aws:ecs:eu-central-1:123456789012:service/default/api",
            "status": "ACTIVE",
            "desiredCount": 2,
            "runningCount": 2,
            "taskDefinition": "api:1",
            "deployments": [self.made("PRIMARY", "COMPLETED", time.time() - 1000)],
        }
        self.tasks: dict[str, list[dict[str, Any]]] = {"RUNNING": [], "STOPPED": []}
        monkeypatch.setattr(door, "call", self.call)
        monkeypatch.setattr(door, "pages", self.pages)

    def made(
        self, status: str, state: str, at: float, running: int = 2, **more: Any
    ) -> dict[str, Any]:
        said = {
            "id": f"ecs-svc/{next(_count)}",
            "status": status,
            "rolloutState": state,
            "failedTasks": 0,
        }
        return {
            **said,
            "createdAt": self.clock(at),
            "desiredCount": 2,
            "runningCount": running,
            **more,
        }

    def clock(self, at: float) -> datetime:
        return datetime.fromtimestamp(at + self.ahead, UTC)

    def call(
        self, account: Any, service: str, operation: str, /, *, safe: bool, **asked: Any
    ) -> dict[str, Any]:
        date = format_datetime(self.clock(time.time()), usegmt=True)
        common = {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}
        if operation == "describe_services":
            return {"services": [self.service], "failures": [], **common}
        if operation == "describe_tasks":
            everywhere = [*self.tasks["RUNNING"], *self.tasks["STOPPED"]]
            return {
                "tasks": [one for one in everywhere if one["taskArn"] in asked["tasks"]],
                **common,
            }
        if operation == "describe_task_definition":
            secrets = (
                [{"name": "OPENAI_API_KEY", "valueFrom": self.value_from}]
                if self.value_from
                else []
            )
            return {"taskDefinition": {"containerDefinitions": [{"secrets": secrets}]}, **common}
        assert operation == "update_service" and asked["forceNewDeployment"]
        self.forced += 1
        self.service["deployments"][0]["status"] = "ACTIVE"
        self.service["deployments"].insert(
            0, self.made("PRIMARY", "IN_PROGRESS", time.time(), running=0)
        )
        return {"service": self.service, **common}

    def pages(
        self, account: Any, service: str, operation: str, field: str, /, **asked: Any
    ) -> list[str]:
        assert (operation, field, asked["serviceName"]) == ("list_tasks", "taskArns", "api")
        return [one["taskArn"] for one in self.tasks[asked["desiredStatus"]]]


class Deploying(Ecs):
    """A deployment is over at once: its tasks run, and none from before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.run(time.time() - 1000)

    def run(self, at: float) -> None:
        times = {"createdAt": self.clock(at), "startedAt": self.clock(at)}
        self.tasks["RUNNING"] = [
            {"taskArn": f"task/{next(_count)}", "lastStatus": "RUNNING", **times} for _ in range(2)
        ]

    def call(self, *given: Any, **asked: Any) -> dict[str, Any]:
        answer = super().call(*given, **asked)
        if given[2] == "update_service":
            made = self.service["deployments"][0]
            made.update(runningCount=2, rolloutState="COMPLETED")
            self.service["deployments"] = [made]
            self.run(time.time())
        return answer


class TestContract(RestarterContract):
    """By AWS's answers to a service with tasks: moto starts none."""

    exact = 1.1  # AWS tells its time in whole seconds

    @pytest.fixture
    def uses(self) -> str:
        return "ecs"

    @pytest.fixture
    def restarter(self, monkeypatch: pytest.MonkeyPatch) -> EcsRestarter:
        Deploying(monkeypatch)
        return EcsRestarter(services=["api"], region="eu-central-1")

    @pytest.fixture
    def put(self) -> Callable[[str], object]:
        return lambda value: None

    @pytest.fixture
    def unreachable(self, monkeypatch: pytest.MonkeyPatch) -> EcsRestarter:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "made-up")
        nowhere = "http://127.0.0.1:9"
        return EcsRestarter(services=["api"], region="eu-central-1", endpoint_url=nowhere)


class TestRollOuts:
    restarter = EcsRestarter(services=["api"], region="eu-central-1")

    def test_it_is_over_when_the_new_deployment_is_complete_and_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ecs, wanted = Ecs(monkeypatch), change(time.time() - 10)
        assert self.restarter.restart(wanted) is None and ecs.forced == 1
        progress = self.restarter.progress(wanted)
        assert not progress.converged and progress.text == "service api 0/2"
        ecs.service["deployments"][0].update(runningCount=2, rolloutState="COMPLETED")
        assert not self.restarter.progress(wanted).converged, "the one from before drains still"
        ecs.service["deployments"].pop()
        drained = {
            "taskArn": "task/old",
            "createdAt": ecs.clock(wanted.since - 100),
            "lastStatus": "DEACTIVATING",
        }
        ecs.tasks["STOPPED"] = [drained]
        progress = self.restarter.progress(wanted)
        assert not progress.converged and progress.text == "service api 2/2, 1 from before"
        assert [one.name for one in progress.instances] == ["task old"], "it may serve still"
        drained["lastStatus"] = "STOPPED"
        assert self.restarter.progress(wanted).converged
        assert self.restarter.restart(wanted) is None and ecs.forced == 1

    @pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
    def test_another_clock_decides_nothing(
        self, monkeypatch: pytest.MonkeyPatch, ahead: float
    ) -> None:
        ecs, since = Ecs(monkeypatch, ahead), time.time() - 10
        ecs.tasks["RUNNING"] = [
            {"taskArn": f"task/{name}", "createdAt": ecs.clock(since + later)}
            for name, later in (("old", -1.0), ("new", 4.0))
        ]
        self.restarter.restart(change(since))
        assert ecs.forced == 1
        instances = {
            one.name: one.started_at for one in self.restarter.progress(change(since)).instances
        }
        assert instances["task old"] < since < instances["task new"] < time.time()  # type: ignore[operator]

    @pytest.mark.parametrize(
        ("version", "proven"), [("", True), (":::0a1b2c3d", False), (":KEY:AWSPREVIOUS:", False)]
    )
    def test_a_task_with_a_version_from_before_has_proven_nothing(
        self, monkeypatch: pytest.MonkeyPatch, version: str, proven: bool
    ) -> None:
        """Deployed meanwhile from a definition that names one: it is young, and has the old key."""
        ecs, since = Ecs(monkeypatch), time.time() - 10
        ecs.value_from = f"{_SECRET}{version}"
        ecs.tasks["RUNNING"] = [
            {"taskArn": "task/1", "createdAt": ecs.clock(since + 4), "taskDefinitionArn": "api:2"}
        ]
        restarter = self.restarter.beside([AwsSecretsManagerStore(secret=_SECRET).writes])
        (instance,) = restarter.shown(Change("look", since, single("x"))).instances
        assert (instance.started_at is not None) is proven

    def test_a_deployment_that_the_circuit_breaker_ends_is_told_with_its_tasks(
        self, monkeypatch: Any
    ) -> None:
        ecs, wanted = Ecs(monkeypatch), change(time.time() - 10)
        self.restarter.restart(wanted)
        reason = "ECS deployment circuit breaker: tasks failed to start."
        ecs.service["deployments"][0].update(rolloutState="FAILED", rolloutStateReason=reason)
        new = ecs.service["deployments"][0]["id"]
        container = {"name": "api", "exitCode": 7, "reason": "this key is no good"}
        stopped = {
            "taskArn": "task/1",
            "lastStatus": "STOPPED",
            "startedBy": new,
            "stoppedReason": "Essential container in task exited",
        }
        ecs.tasks["STOPPED"] = [{**stopped, "containers": [container]}]
        with pytest.raises(PermanentError, match="circuit breaker") as told:
            self.restarter.progress(wanted)
        assert "Essential container in task exited, api exit 7, this key is no good" in str(
            told.value
        )

    def test_tasks_that_fail_again_and_again_are_told_without_a_circuit_breaker(
        self, monkeypatch: Any
    ) -> None:
        ecs, wanted = Ecs(monkeypatch), change(time.time() - 10)
        self.restarter.restart(wanted)
        ecs.service["deployments"][0].update(failedTasks=2)
        assert not self.restarter.progress(wanted).converged
        ecs.service["deployments"][0].update(failedTasks=3)
        with pytest.raises(PermanentError, match="service api: tasks fail"):
            self.restarter.progress(wanted)

    def test_a_service_without_tasks_needs_no_deployment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ecs, wanted = Ecs(monkeypatch), change(time.time())
        ecs.service.update(desiredCount=0, runningCount=0)
        assert self.restarter.restart(wanted) is None and ecs.forced == 0
        assert self.restarter.progress(wanted).converged

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"status": "DRAINING"}, "is DRAINING"),
            ({"deploymentController": {"type": "CODE_DEPLOY"}}, "deployed by CODE_DEPLOY"),
            ({"runningCount": 1}, "is not well already, or being deployed: 1 of 2 tasks run"),
        ],
    )
    def test_what_speaks_against_a_deployment_is_known_before(
        self, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], words: str
    ) -> None:
        Ecs(monkeypatch).service.update(changed)
        (finding,) = self.restarter.preflight()
        assert finding.level is Level.ERROR and words in finding.text

    def test_no_service_is_a_mistake(self) -> None:
        with pytest.raises(ConfigError, match="no service is named"):
            EcsRestarter(services=[])


@pytest.mark.parametrize(
    ("value_from", "fixed"),
    [
        (_SECRET, False),
        (f"{_SECRET}:KEY::", False),
        (f"{_SECRET}:KEY:AWSCURRENT:", False),
        (f"{_SECRET}:KEY:AWSPREVIOUS:", True),
        (f"{_SECRET}:::0a1b2c3d", True),
        ("/app/openai", False),
        ("arn:aws:ssm:eu-central-1:123456789012:parameter/app/openai", False),
        ("arn:aws:ssm:eu-central-1:123456789012:parameter/app/openai:3", True),
        ("openai:3", True),
    ],
)
def test_a_reference_to_one_version_for_ever_is_recognised(value_from: str, fixed: bool) -> None:
    assert is_fixed(value_from) is fixed
    assert bare(value_from) in ("app/openai", "openai"), "and whose it is"


def test_a_name_or_an_arn_of_a_store_is_what_tasks_take() -> None:
    assert {bare(one) for one in ("app/openai", _SECRET, "/app/openai", f"{_SECRET}:KEY::")} == {
        "app/openai"
    }
