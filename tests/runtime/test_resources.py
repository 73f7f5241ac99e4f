"""Promises of the listings: documents' own names and status, on a clock that only the test moves."""

import msgspec
import pytest

from proxy.errors import Problem, Severity
from proxy.runtime.outlook import Outlook, World
from proxy.runtime.resource_facts import Identity, ResourceFacts, RouteFacts, ServerFacts
from proxy.runtime.resources import Resource, Resources, Statuses, reached, rfc3339
from tests.runtime.resource_stage import OPEN, SHUT, canary, report, rewrite, route, server

NOON = 1_795_608_000.0
LISTENERS = ("http://127.0.0.1:8400",)
ERROR = Problem(Severity.ERROR, "PS111", "a.yaml", 3, 5, "", "no such key")


def time_of(resource: Resource, kind: str) -> str:
    (found,) = [each.last_transition_time for each in resource.status.conditions if each.type == kind]
    return found


def listed(facts: ResourceFacts, world: World, statuses: Statuses | None = None, now: float = NOON) -> Resources:
    return (statuses or Statuses()).list(Outlook(facts, world), now)


def test_a_document_is_told_with_its_names_and_a_status_of_its_own_form() -> None:
    identity = Identity(
        "team/chat", "ModelServer", "a.yaml", 3, "chat", "team", "networking.matrixinfer.ai/v1alpha1", 3, NOON - 60
    )
    facts = ServerFacts(identity, model="qwen", endpoints=2, selects=True, routes=4)
    seen = report("available", "ejected", name="team/chat")
    (told,) = listed(ResourceFacts((facts,)), World([seen], listeners=LISTENERS)).servers
    content = msgspec.to_builtins(told)
    conditions = content["status"].pop("conditions")
    assert content == {
        "apiVersion": "networking.matrixinfer.ai/v1alpha1",
        "kind": "ModelServer",
        "metadata": {
            "name": "chat",
            "namespace": "team",
            "generation": 3,
            "creationTimestamp": "2026-11-25T11:59:00Z",
        },
        "name": "team/chat",
        "origin": "a.yaml:3",
        "model": "qwen",
        "status": {
            "phase": "Ready",
            "serviceEndpoint": "http://127.0.0.1:8400",
            "activeRoutes": 4,
            "endpoints": 2,
            "availableEndpoints": 1,
        },
    }
    assert conditions[0] == {
        "type": "Ready",
        "status": "True",
        "reason": "EndpointsAvailable",
        "message": "1 of 2 endpoints are available",
        "lastTransitionTime": "2026-11-25T12:00:00Z",
        "observedGeneration": 3,
    }


def test_what_is_native_has_no_api_version_and_was_created_when_it_was_seen_first() -> None:
    statuses = Statuses()
    facts = ResourceFacts((), (route("chat"),), (rewrite(None),))
    listed(facts, World(), statuses, NOON)
    told = listed(facts, World(), statuses, NOON + 60)
    native = msgspec.to_builtins(told.routes[0])
    assert "apiVersion" not in native
    assert native["kind"] == "route"
    assert native["metadata"] == {"name": "way", "creationTimestamp": "2026-11-25T12:00:00Z"}
    assert (native["status"]["phase"], native["status"]["activeRoutes"], native["status"]["routes"]) == (
        "Pending",
        0,
        1,
    )
    assert told.rewrites[0].server is None


@pytest.mark.parametrize(
    ("port", "service", "routes", "missing", "endpoint"),
    [
        (8080, OPEN, 1, False, "http://10.0.0.9:8080"),
        (8080, SHUT, 1, False, "http://127.0.0.1:8400/v1/models/chat"),
        (None, None, 1, False, "http://127.0.0.1:8400/v1/models/chat"),
        (None, None, 0, False, None),
        (None, None, 1, True, None),
    ],
)
def test_a_server_is_reached_at_its_own_port_or_by_the_path_that_leads_there(
    port: int | None, service: object, routes: int, missing: bool, endpoint: str | None
) -> None:
    facts = msgspec.structs.replace(server(routes=routes, missing=missing), port=port, path="/v1/models/chat")
    world = World(services=[service] if service is not None else [], listeners=LISTENERS)  # type: ignore[list-item]
    assert listed(ResourceFacts((facts,)), world).servers[0].status.service_endpoint == endpoint


@pytest.mark.parametrize(
    ("url", "machine", "told"),
    [
        ("http://0.0.0.0:8400", "gpu-1", "http://gpu-1:8400"),
        ("https://[::]:8400", "gpu-1", "https://gpu-1:8400"),
        ("http://:8400", "gpu-1", "http://gpu-1:8400"),
        ("http://[::1]:8400", "gpu-1", "http://[::1]:8400"),
        ("http://10.0.0.0:8400", "gpu-1", "http://10.0.0.0:8400"),
        ("http://0.0.0.0:8400", "fd00::1", "http://[fd00::1]:8400"),
    ],
)
def test_a_listener_on_all_addresses_is_reached_by_the_machines_name(url: str, machine: str, told: str) -> None:
    assert reached(url, machine) == told


def test_times_change_when_a_condition_turns_and_outlive_a_reload() -> None:
    statuses = Statuses()
    facts, up, down = ResourceFacts((server(),)), World([report("available")]), World([report("ejected")])
    listed(facts, up, statuses, NOON)
    again = listed(facts, World([report("available", "ejected")]), statuses, NOON + 60)
    assert time_of(again.servers[0], "Ready") == "2026-11-25T12:00:00Z"
    fallen = listed(facts, down, statuses, NOON + 120)
    assert time_of(fallen.servers[0], "Ready") == "2026-11-25T12:02:00Z"
    reloaded = ResourceFacts((server("other"), server()), (route("chat"),))
    after = listed(reloaded, down, statuses, NOON + 180)
    assert [time_of(each, "Ready") for each in after.servers] == ["2026-11-25T12:03:00Z", "2026-11-25T12:02:00Z"]


def test_a_change_dates_from_the_look_that_saw_it_not_from_when_it_was_asked_for() -> None:
    statuses = Statuses()
    facts = ResourceFacts((server(),))
    for minutes, state in enumerate(("available", "ejected", "ejected", "ejected")):
        statuses.observe(Outlook(facts, World([report(state)])), NOON + 60 * minutes)
    told = listed(facts, World([report("ejected")]), statuses, NOON + 600)
    assert time_of(told.servers[0], "Ready") == "2026-11-25T12:01:00Z"


def test_a_turn_between_two_listings_is_not_overlooked_by_a_look() -> None:
    statuses = Statuses()
    facts, up = ResourceFacts((server(),)), World([report("available")])
    statuses.observe(Outlook(facts, up), NOON)
    listed(facts, World([report("ejected")]), statuses, NOON + 60)
    statuses.observe(Outlook(facts, up), NOON + 120)
    assert time_of(listed(facts, up, statuses, NOON + 180).servers[0], "Ready") == "2026-11-25T12:02:00Z"


def test_a_file_with_errors_and_a_canary_that_failed_are_conditions_of_what_serves_on() -> None:
    statuses = Statuses()
    facts = ResourceFacts((server(),), (route("chat", "new"),))
    listed(facts, World([report("available")], canaries=[canary("Watching", 10.0)]), statuses, NOON)
    broken = World([report("available")], canaries=[canary("Failed", 0.0)], problems=[ERROR], successful=False)
    (told,) = listed(facts, broken, statuses, NOON + 60).routes
    assert told.status.phase == "Active"
    turned = {"CanaryHealthy", "Accepted", "Synced"}
    assert {each.type for each in told.status.conditions if each.status == "False"} == turned
    assert {time_of(told, kind) for kind in turned} == {"2026-11-25T12:01:00Z"}
    assert time_of(told, "Ready") == "2026-11-25T12:00:00Z"


def test_a_list_reads_back_as_what_it_was() -> None:
    facts = ResourceFacts((server(),), (RouteFacts(Identity("r", "route", "a", 0, "r"), ("m",)),), (rewrite("chat"),))
    told = listed(facts, World())
    assert msgspec.json.decode(msgspec.json.encode(told), type=Resources) == told


def test_times_that_no_calendar_has_are_spelled_as_the_nearest_that_it_has() -> None:
    assert rfc3339(NOON + 0.9) == "2026-11-25T12:00:00Z"
    assert rfc3339(-1e12) == "0001-01-01T00:00:00Z"
    assert rfc3339(1e12) == "9999-12-31T23:59:59Z"
