from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from proxy.config.settings_spec import Listener
from proxy.errors import Problem, Severity
from proxy.runtime.admin import AdminServer, build, is_loopback, is_own_name
from proxy.runtime.canaries import Action
from proxy.runtime.canary_status import CanaryStatus, canary_status
from proxy.runtime.outlook import Outlook, World
from proxy.runtime.process import WorkerFailedError
from proxy.runtime.reading import Reading
from proxy.runtime.reload import Outcome, ReloadFacts
from proxy.runtime.resource_facts import ResourceFacts
from proxy.runtime.resources import Resources, Statuses
from proxy.runtime.sockets import BindError
from proxy.runtime.status import Status, build_status
from proxy.runtime.summary import EndpointSummary, ServerSummary
from proxy.telemetry.exposition import ControlFacts
from proxy.telemetry.report import EndpointReport, MetricsSnapshot, WorkerReport
from tests.runtime.canary_stage import Stage, plan
from tests.runtime.resource_stage import rewrite, route, server

PROBLEM = Problem(Severity.ERROR, "unknown-key", "routes.yaml", 3, 5, "routes[0].modles", "no such key", "models")
SERVER = ServerSummary(
    "engine", "vllm", None, "least-request", (EndpointSummary("http://10.0.0.1:8000", 1),), "a.yaml:1"
)

Client = TestClient[Request, Application]


def report(worker: int, in_flight: int, state: str) -> WorkerReport:
    endpoint = EndpointReport("engine", "http://10.0.0.1:8000", in_flight, 2, state)
    return WorkerReport(worker, 100 + worker, "v1", 5, in_flight, False, [endpoint], MetricsSnapshot())


class FakeControl:
    """A supervisor of two workers."""

    def __init__(self) -> None:
        self.ready = True
        self.outcome = Outcome.APPLIED
        self.reloads = 0
        self.stage = Stage(plan(), plan("each"))
        self.hindered = False

    async def reports(self) -> Sequence[WorkerReport]:
        return [report(0, 3, "available"), report(1, 4, "ejected")]

    def facts(self) -> ControlFacts:
        return ControlFacts("v1", True, 1000.0, {"applied": 1}, problems=1, worker_restarts=2)

    async def status(self) -> Status:
        reading = Reading(version="v1", servers=(SERVER,), routes=b'[{"name":"chat"}]', route_count=1)
        facts = ReloadFacts("v1", 1000.0, True, 1000.0, {"applied": 1}, (PROBLEM,))
        return build_status("1.2.3", self.ready, ["http://127.0.0.1:8400"], reading, facts, await self.reports())

    async def resources(self) -> Resources:
        facts = ResourceFacts((server("engine"),), (route("engine"),), (rewrite(None),))
        return Statuses().list(Outlook(facts, World(await self.reports())), 1000.0)

    async def reload(self) -> Outcome:
        self.reloads += 1
        return self.outcome

    def problems(self) -> tuple[Problem, ...]:
        return (PROBLEM,)

    def canaries(self) -> list[CanaryStatus]:
        return [canary_status(view) for view in self.stage.canaries.views()]

    async def command_canary(self, action: Action, name: str) -> CanaryStatus:
        course = self.stage.canaries.command(action, name, self.stage.now)
        if self.hindered:
            raise WorkerFailedError("worker 1 ended")
        return canary_status(course.view)


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
async def client(control: FakeControl) -> AsyncIterator[Client]:
    async with TestClient(TestServer(build(control, Listener("proxy.internal", 8401)))) as client:
        yield client


async def test_metrics_are_what_prometheus_reads(client: Client) -> None:
    answer = await client.get("/metrics")
    text = await answer.text()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "penstock_config_last_reload_successful 1.0" in text
    assert 'penstock_endpoint_in_flight{endpoint="http://10.0.0.1:8000",server="engine"} 7.0' in text


async def test_status_sums_what_the_workers_say(client: Client) -> None:
    status = orjson.loads(await (await client.get("/status")).read())
    assert [worker["pid"] for worker in status["workers"]] == [100, 101]
    server = status["servers"][0]
    assert server["in_flight"] == 7
    assert server["endpoints"][0]["in_flight"] == 7
    assert server["endpoints"][0]["state"] == "available, ejected"
    assert status["routes"] == [{"name": "chat"}]


async def test_status_tells_problems_with_their_place(client: Client) -> None:
    status = orjson.loads(await (await client.get("/status")).read())
    assert status["config"]["version"] == "v1"
    assert status["config"]["loaded_at"] == "1970-01-01T00:16:40.000+00:00"
    assert status["config"]["problems"] == [
        {
            "severity": "error",
            "code": "unknown-key",
            "file": "routes.yaml",
            "message": "no such key",
            "line": 3,
            "column": 5,
            "path": "routes[0].modles",
            "suggestion": "models",
        }
    ]


@pytest.mark.parametrize(
    ("kind", "name", "phase"),
    [("servers", "engine", "Ready"), ("routes", "way", "Active"), ("rewrites", "default/small", "Failed")],
)
async def test_resources_are_listed_by_kind_with_their_status(client: Client, kind: str, name: str, phase: str) -> None:
    listed = orjson.loads(await (await client.get(f"/{kind}")).read())
    assert list(listed) == [kind]
    (told,) = listed[kind]
    assert (told["name"], told["status"]["phase"]) == (name, phase)
    assert told["status"]["conditions"][0]["lastTransitionTime"] == "1970-01-01T00:16:40Z"


async def test_ready_says_no_while_nothing_is_served(client: Client, control: FakeControl) -> None:
    assert (await client.get("/ready")).status == 200
    control.ready = False
    assert (await client.get("/ready")).status == 503
    assert (await client.get("/health")).status == 200


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.APPLIED, 200), (Outcome.UNCHANGED, 200), (Outcome.REJECTED, 422), (Outcome.FAILED, 422)],
)
async def test_a_reload_answers_with_its_outcome(
    client: Client, control: FakeControl, outcome: Outcome, status: int
) -> None:
    control.outcome = outcome
    answer = await client.post("/reload")
    body = orjson.loads(await answer.read())
    assert (answer.status, body["outcome"]) == (status, outcome.value)
    assert body["problems"][0]["line"] == 3


async def test_a_reload_needs_a_post(client: Client, control: FakeControl) -> None:
    assert (await client.get("/reload")).status == 405
    assert control.reloads == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
async def test_another_sites_page_cannot_reload(client: Client, control: FakeControl, headers: dict[str, str]) -> None:
    assert (await client.post("/reload", headers=headers)).status == 403
    assert control.reloads == 0


async def test_our_own_page_can_reload(client: Client) -> None:
    own = {"Origin": "http://127.0.0.1:8401", "Host": "127.0.0.1:8401", "Sec-Fetch-Site": "same-origin"}
    assert (await client.post("/reload", headers=own)).status == 200


@pytest.mark.parametrize("path", ["/status", "/metrics", "/ready", "/nothing"])
async def test_a_name_that_was_made_to_lead_here_is_refused(control: FakeControl, path: str) -> None:
    async with TestClient(TestServer(build(control, Listener("127.0.0.1", 8401)))) as client:
        assert (await client.get(path, headers={"Host": "evil.example:8401"})).status == 403


@pytest.mark.parametrize(
    ("path", "status"), [("/metrics", 200), ("/health", 200), ("/ready", 200), ("/status", 403), ("/nothing", 403)]
)
async def test_machines_may_scrape_an_open_address_by_any_name(control: FakeControl, path: str, status: int) -> None:
    async with TestClient(TestServer(build(control, Listener("0.0.0.0", 8401)))) as client:
        assert (await client.get(path, headers={"Host": "penstock.example:8401"})).status == status


@pytest.mark.parametrize(
    ("named", "own"),
    [
        (None, True),
        ("127.0.0.1:8401", True),
        ("[::1]:8401", True),
        ("10.1.2.3", True),
        ("LOCALHOST:8401", True),
        ("proxy.internal", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("a b", False),
        ("127.0.0.1:port", False),
    ],
)
def test_only_addresses_and_the_configured_name_are_our_own(named: str | None, own: bool) -> None:
    assert is_own_name(named, "proxy.internal") is own


async def test_canaries_are_listed(client: Client) -> None:
    listed = orjson.loads(await (await client.get("/canaries")).read())["canaries"]
    assert [(each["name"], each["phase"], each["weight"]) for each in listed] == [
        ("chat/all", "Watching", 10.0),
        ("chat/each", "Watching", 10.0),
    ]


@pytest.mark.parametrize(
    ("action", "phase", "weight"),
    [("promote", "Promoted", 100.0), ("abort", "Aborted", 0.0), ("resume", "Watching", 10.0)],
)
async def test_a_canary_does_as_it_is_told(client: Client, action: str, phase: str, weight: float) -> None:
    answer = await client.post(f"/canaries/{action}", params={"name": "chat/each"})
    told = orjson.loads(await answer.read())
    assert (answer.status, told["name"], told["phase"], told["weight"]) == (200, "chat/each", phase, weight)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/canaries/abort?name=chat", 404, "'chat' has several canaries: chat/all, chat/each"),
        ("/canaries/abort?name=talk", 404, "there is no canary 'talk'; there is chat/all, chat/each"),
        ("/canaries/abort", 400, "which canary? say ?name=route/rule"),
    ],
)
async def test_a_canary_that_is_not_clear_is_not_touched(
    client: Client, control: FakeControl, path: str, status: int, message: str
) -> None:
    answer = await client.post(path)
    assert (answer.status, orjson.loads(await answer.read())) == (status, {"error": message})
    assert control.stage.weights == ()


async def test_a_canary_that_workers_could_not_follow_is_told(client: Client, control: FakeControl) -> None:
    control.hindered = True
    answer = await client.post("/canaries/abort?name=chat/all")
    assert (answer.status, orjson.loads(await answer.read())) == (
        503,
        {"error": "decided, but not in force yet: worker 1 ended"},
    )


async def test_canaries_are_commanded_by_posts_of_our_own_while_we_serve(client: Client, control: FakeControl) -> None:
    path = "/canaries/abort?name=chat/all"
    assert (await client.get(path)).status == 405
    assert (await client.post(path, headers={"Origin": "http://evil.example"})).status == 403
    assert (await client.post(path, headers={"Host": "evil.example"})).status == 403
    assert (await client.post("/canaries/explode?name=chat/all")).status == 404
    control.ready = False
    assert (await client.post(path)).status == 503
    assert control.stage.weights == ()


def test_loopback_is_told_from_other_addresses() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "proxy.internal", ""))


async def test_an_address_that_is_taken_is_named(control: FakeControl) -> None:
    first = AdminServer(control, Listener("127.0.0.1", 0))
    listener = await first.start()
    try:
        with pytest.raises(BindError, match=f"cannot listen on 127.0.0.1:{listener.port}: Address already in use"):
            await AdminServer(control, listener).start()
    finally:
        await first.close()
