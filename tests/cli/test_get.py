"""Promises of `penstock get`, which asks a real admin application."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.cli.get import age, several
from proxy.config.settings_spec import Listener
from proxy.errors import Problem, Severity
from proxy.runtime.admin import ControlPlane, build
from proxy.runtime.outlook import Outlook, World
from proxy.runtime.resource_facts import Identity, ResourceFacts, RewriteFacts, RouteFacts, RuleFacts, ServerFacts
from proxy.runtime.resources import Resources, Statuses
from proxy.runtime.service_plan import ServiceStatus
from tests.cli.commands import Ran, run
from tests.runtime.resource_stage import canary, report

MATRIXINFER = "networking.matrixinfer.ai/v1alpha1"
CREATED = 1_600_000_000.0
ERROR = Problem(Severity.ERROR, "PS111", "routes/ab.yaml", 9, 5, "spec.rotues", "unknown key", "routes")


def filed(name: str, kind: str, file: str) -> Identity:
    key = name.removeprefix("pool/")
    namespace, _, own = key.partition("/")
    return Identity(name, kind, file, 3, own, namespace, MATRIXINFER, created=CREATED)


FACTS = ResourceFacts(
    servers=(
        ServerFacts(filed("team/llama", "ModelServer", "routes/llama.yaml"), "llama-7b", 3, selects=True, routes=1),
        ServerFacts(filed("team/next", "ModelServer", "routes/llama.yaml"), None, 1, port=8080, routes=1),
        ServerFacts(filed("pool/team/vllm", "InferencePool", "routes/pool.yaml"), None, 0, selects=True),
    ),
    routes=(
        RouteFacts(
            filed("way", "ModelRoute", "routes/ab.yaml"), (), (RuleFacts("all", (("team/llama", 9), ("team/next", 1))),)
        ),
        RouteFacts(Identity("chat", "route", "routes/n.yaml", 1, "chat"), ("qwen", "qwen-*"), (), ("team/next",)),
    ),
    rewrites=(
        RewriteFacts(
            filed("team/small", "InferenceModelRewrite", "routes/pool.yaml"), "pool/team/vllm", ("small", "tiny")
        ),
    ),
)


class Control:
    """A supervisor, as far as it is asked."""

    def __init__(self) -> None:
        reports = [report("available", "ejected", "available", name="team/llama"), report("ejected", name="team/next")]
        shut = ServiceStatus(8080, ("team/next",), "failed", "Address already in use")
        self.facts = FACTS
        self.world = World(reports, [shut], listeners=["http://127.0.0.1:8400"])

    async def resources(self) -> Resources:
        return Statuses().list(Outlook(self.facts, self.world), CREATED)


class Asked:
    """The command, against the admin address of a test."""

    def __init__(self, control: Control, url: str) -> None:
        self.control = control
        self.url = url

    async def get(self, *arguments: str) -> Ran:
        return await asyncio.to_thread(run, "get", *arguments, "--admin", self.url)


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    control = Control()
    async with TestServer(build(cast("ControlPlane", control), Listener("127.0.0.1", 0))) as server:
        yield Asked(control, str(server.make_url("")))


def lines_of(ran: Ran) -> list[str]:
    assert (ran.status, ran.errors) == (0, "")
    return ran.output.splitlines()


async def test_servers_are_a_table_with_what_does_not_hold_below_it(asked: Asked) -> None:
    lines = lines_of(await asked.get("servers"))
    assert [line.split() for line in lines[:5]] == [
        ["3", "servers"],
        ["NAME", "PHASE", "ENDPOINTS", "MODEL", "AGE"],
        ["team/llama", "Ready", "2/3", "llama-7b", lines[2].split()[-1]],
        ["team/next", "Failed", "0/1", "-", lines[2].split()[-1]],
        ["pool/team/vllm", "Pending", "0/0", "-", lines[2].split()[-1]],
    ]
    assert lines[5:] == [
        "",
        "team/next: Listening=False (NotListening): Address already in use",
        "team/next: EndpointsAvailable=False (NoneAvailable): 0 of 1 endpoints are available",
        "pool/team/vllm: ResolvedRefs=False (NoMatchingEndpoints): its selector finds no endpoint yet",
    ]
    assert all(len(line) <= 80 for line in lines[:5])


async def test_a_wide_table_tells_where_and_what(asked: Asked) -> None:
    lines = lines_of(await asked.get("servers", "-o", "wide"))
    assert lines[1].split()[-4:] == ["SERVICE", "AGE", "KIND", "ORIGIN"]
    assert "http://127.0.0.1:8400" in lines[2]
    assert lines[2].endswith("ModelServer    routes/llama.yaml:3")


async def test_routes_and_rewrites_are_tables_too(asked: Asked) -> None:
    asked.control.world = asked.control.world._replace(canaries=[canary("Failed", 0.0, "80 of 800 requests failed")])
    lines = lines_of(await asked.get("routes"))
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["NAME", "PHASE", "ACTIVE", "MODELS"],
        ["way", "Active", "1/2", "-"],
        ["chat", "Pending", "0/0", "qwen,"],
    ]
    assert "way: CanaryHealthy=False (Failed): all: 80 of 800 requests failed" in lines
    rewrites = lines_of(await asked.get("rewrites"))
    assert rewrites[0] == "1 rewrite"
    assert rewrites[2].split()[:5] == ["team/small", "Pending", "pool/team/vllm", "small,", "tiny"]


async def test_a_file_with_errors_is_told_once_for_all(asked: Asked) -> None:
    asked.control.world = asked.control.world._replace(problems=[ERROR], successful=False)
    lines = lines_of(await asked.get("routes"))
    told = "routes/ab.yaml:9:5: error PS111 at spec.rotues: unknown key (did you mean 'routes'?)"
    assert f"way: Accepted=False (Invalid): {told}" in lines
    assert f"all: Synced=False (NotInForce): an earlier configuration serves on: {told}" in lines


@pytest.mark.parametrize("name", ["team/llama", "llama"])
async def test_one_is_told_by_either_of_its_names(asked: Asked, name: str) -> None:
    told = json.loads((await asked.get("servers", name, "-o", "json")).output)
    assert (told["apiVersion"], told["kind"]) == (MATRIXINFER, "ModelServer")
    assert told["metadata"] == {"name": "llama", "namespace": "team", "creationTimestamp": "2020-09-13T12:26:40Z"}
    assert told["status"]["phase"] == "Ready"
    assert told["status"]["conditions"][0]["lastTransitionTime"] == "2020-09-13T12:26:40Z"


async def test_the_proxys_own_name_wins_over_what_others_call_themselves(asked: Asked) -> None:
    own = ServerFacts(Identity("llama", "server", "n.yaml", 1, "llama"))
    asked.control.facts = ResourceFacts((*FACTS.servers, own))
    assert json.loads((await asked.get("servers", "llama", "-o", "json")).output)["kind"] == "server"
    both = json.loads((await asked.get("servers", "-o", "json")).output)
    assert [item["name"] for item in both["items"]] == ["team/llama", "team/next", "pool/team/vllm", "llama"]


async def test_yaml_says_what_json_says(asked: Asked) -> None:
    for arguments in (("servers",), ("servers", "next"), ("rewrites",)):
        told = yaml.safe_load((await asked.get(*arguments, "-o", "yaml")).output)
        assert told == json.loads((await asked.get(*arguments, "-o", "json")).output)
    listed = yaml.safe_load((await asked.get("servers", "-o", "yaml")).output)
    assert (listed["apiVersion"], listed["kind"], len(listed["items"])) == ("v1", "List", 3)


async def test_nothing_that_a_file_holds_drives_the_terminal(asked: Asked) -> None:
    hostile = ServerFacts(Identity("a\x1b[2Jb", "server", "n.yaml", 1, "a\x1b[2Jb"), "m\x07")
    asked.control.facts = ResourceFacts((hostile,))
    for output in ("table", "wide", "yaml", "json"):
        assert (await asked.get("servers", "-o", output)).output.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("kind", "name", "advice"),
    [("servers", "team/lama", " (did you mean 'team/llama'?)"), ("routes", "nothing-like-it", "")],
)
async def test_a_name_that_nothing_has_is_refused_with_the_nearest(
    asked: Asked, kind: str, name: str, advice: str
) -> None:
    ran = await asked.get(kind, name)
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors == f"penstock: there is no {kind[:-1]} {name!r}{advice}\n"


async def test_where_there_is_none_that_is_said(asked: Asked) -> None:
    asked.control.facts = ResourceFacts()
    assert (await asked.get("rewrites")).output == "There are no rewrites.\n"
    assert json.loads((await asked.get("rewrites", "-o", "json")).output)["items"] == []


def test_an_address_where_nobody_listens_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ran = run("get", "servers", "--admin", url)
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors == f"penstock: nobody answers at {url}: Connection refused; is penstock serve running there?\n"


async def test_an_address_of_something_else_is_told() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"pods": []})

    other = web.Application()
    other.add_routes([web.get("/servers", answer)])
    async with TestServer(other) as server:
        for kind in ("servers", "routes"):
            ran = await asyncio.to_thread(run, "get", kind, "--admin", str(server.make_url("")))
            assert ran.status == 1
            assert "it is no admin address of this version" in ran.errors


@pytest.mark.parametrize("arguments", [("pods",), (), ("servers", "-o", "xml"), ("servers", "--admin", "nowhere")])
def test_a_command_that_is_not_understood_asks_nobody(arguments: tuple[str, ...]) -> None:
    assert run("get", *arguments).status == 2


@pytest.mark.parametrize(
    ("created", "told"),
    [
        ("2026-11-25T12:00:00Z", "0s"),
        ("2026-11-25T12:00:05Z", "0s"),
        ("2026-11-25T11:59:01Z", "59s"),
        ("2026-11-25T11:59:00Z", "1m"),
        ("2026-11-25T09:01:00Z", "2h"),
        ("2026-10-25T12:00:00Z", "31d"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(created: str, told: str) -> None:
    assert age(created, datetime(2026, 11, 25, 12, tzinfo=UTC)) == told


@pytest.mark.parametrize(
    ("names", "of", "told"),
    [
        (["a"], 1, "a"),
        (["a", "b"], 3, "a, b"),
        (["a", "b"], 2, "all"),
        (["a", "b", "c", "d", "e"], 6, "a, b, c and 2 more"),
    ],
)
def test_many_names_are_told_in_few_words(names: list[str], of: int, told: str) -> None:
    assert several(names, of) == told
