"""All files become one configuration: what refers finds, pools get their rewrites and routes, and all have an order."""

import json
import random
from itertools import permutations
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.joining import LAST
from proxy.config.loader import load_texts
from proxy.config.spec import ModelServer, Rewrite, Target
from proxy.errors import Problem, Severity
from tests.config.inference_resources import (
    backend,
    config,
    endpoint,
    http_route,
    load,
    objective,
    pool,
    problems,
    rewrite,
    routes,
    rule,
    server,
)

SERVER = "servers: {a: {endpoints: [http://h:1]}}\n"
POOL = "pool/default/p"


def told(*texts: str) -> tuple[Problem, ...]:
    return load_texts({f"{number}.yaml": text for number, text in enumerate(texts)}).problems


# --- references ---


def test_a_target_finds_a_server_of_another_file() -> None:
    assert not told("routes: [{name: r, rules: [{targets: a}]}]", SERVER)


def test_a_server_that_does_not_exist_is_told_with_the_nearest_one() -> None:
    text = "servers: {qwen-7b: {endpoints: [http://h]}}\nroutes: [{name: r, rules: [{targets: [{server: qwen-7}]}]}]"
    (missing,) = told(text)
    assert (missing.code, missing.suggestion, missing.line) == ("PS131", "qwen-7b", 2)
    assert missing.path == "routes[0].rules[0].targets[0].server"


def test_a_fallback_to_a_server_that_does_not_exist_is_told() -> None:
    assert [p.code for p in told(f"{SERVER}routes: [{{name: r, rules: [{{targets: a, fallback: b}}]}}]")] == ["PS131"]


def test_a_broken_server_is_not_told_to_be_missing() -> None:
    text = "servers: {a: {endpoints: [nonsense]}}\nroutes: [{name: r, rules: [{targets: a}]}]"
    assert [p.code for p in told(text)] == ["PS122"]


def test_servers_of_a_file_that_cannot_be_parsed_are_not_told_to_be_missing() -> None:
    assert [p.code for p in told("routes: [{name: r, rules: [{targets: a}]}]", "servers: {a: [")] == ["PS101"]


def test_a_resource_may_refer_to_what_is_not_there_yet() -> None:
    result = load(rewrite("r", rule("a"), to="vlm"), rewrite("s", rule("b"), to="vlm"), pool("vllm"))
    (missing,) = [problem for problem in result.problems if problem.code == "PS131"]
    assert (missing.severity, missing.file, missing.suggestion) == (Severity.WARNING, "0.json", "vllm")
    assert result.config is not None
    assert result.config.servers["pool/default/vlm"].missing


def test_a_missing_server_that_another_namespace_has_is_told_so() -> None:
    found = load(rewrite("r", rule("a")), pool(namespace="prod"), pool("pp")).problems
    (missing,) = [problem for problem in found if problem.code == "PS131"]
    assert "one of this name in the namespace 'prod'" in missing.message
    assert missing.suggestion is None


def test_who_misses_many_servers_is_told_of_all_of_them() -> None:
    documents = [rewrite(f"r{number}", rule(f"m{number}"), to=f"vlm{number}") for number in range(120)]
    missing = [problem for problem in load(*documents, pool("vllm")).problems if problem.code == "PS131"]
    assert [problem.suggestion for problem in missing] == ["vllm"] * 100 + [None] * 20


def test_a_reference_finds_no_server_of_another_kind() -> None:
    text = "{apiVersion: llm-d.ai/v1, kind: InferenceObjective, metadata: {name: a}, spec: {poolRef: {name: a}}}"
    assert [p.code for p in told(f"{SERVER}routes: [{{name: r, rules: [{{targets: a}}]}}]", text)] == ["PS131"]


# --- what a pool's requests get ---


def chosen(found: ModelServer, model: str) -> Rewrite | None:
    """The rewrite that a request meets: the first that names its model, else the first for every name."""
    named = [one for one in found.rewrites if model in one.models]
    generic = [one for one in found.rewrites if not one.models]
    return next(iter(named + generic), None)


def sent(model: str, *documents: object) -> str:
    """The model that is sent upstream."""
    found = chosen(server(pool(), *documents), model)
    return model if found is None else found.targets[0].model


OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("documents", "model", "expected"),
    [
        ([rewrite("r", rule("a", to="exact"))], "a", "exact"),
        ([rewrite("r", rule(to="generic"))], "a", "generic"),
        ([rewrite("r", rule("a", to="exact"))], "b", "b"),
        ([rewrite("r", rule("a", to="exact"))], "A", "A"),
        ([], "a", "a"),
        ([rewrite("r", rule(to="generic"), rule("a", to="exact"))], "a", "exact"),
        ([rewrite("g", rule(to="g"), created=OLD), rewrite("e", rule("a", to="e"), created=NEW)], "a", "e"),
        ([rewrite("g", rule(to="g"), created=OLD), rewrite("e", rule("a", to="e"), created=NEW)], "b", "g"),
        ([rewrite("n", rule("a", to="new"), created=NEW), rewrite("o", rule("a", to="old"), created=OLD)], "a", "old"),
        ([rewrite("n", rule(to="new"), created=NEW), rewrite("o", rule(to="old"), created=OLD)], "a", "old"),
        ([rewrite("r", rule("a", to="first"), rule("a", to="second"))], "a", "first"),
        ([rewrite("r", rule(to="first"), rule(to="second"))], "a", "first"),
        ([rewrite("r", rule("a", to="b"), rule("b", to="c"))], "a", "b"),
        ([rewrite("b", rule("a", to="b"), created=OLD), rewrite("a", rule("a", to="a"), created=OLD)], "a", "a"),
        ([rewrite("b", rule("a", to="b")), rewrite("a", rule("a", to="a"))], "a", "b"),
        ([rewrite("u", rule("a", to="undated")), rewrite("d", rule("a", to="dated"), created=NEW)], "a", "dated"),
        ([rewrite("r", rule(to="elsewhere"), to="q")], "a", "a"),
        ([rewrite("r", rule(to="elsewhere"), namespace="other")], "a", "a"),
    ],
)
def test_a_model_is_rewritten_by_precedence(documents: list[object], model: str, expected: str) -> None:
    assert sent(model, *documents) == expected


class Candidate(NamedTuple):
    """A rule as the extension's own store keeps it."""

    created: str
    name: str
    position: int
    models: tuple[str, ...]
    target: str


FEW = st.sampled_from(["a", "b", "c"])
MODELS = st.lists(FEW, max_size=2)
DATES = st.sampled_from([f"2026-01-0{day}T00:00:00Z" for day in range(1, 4)])
RESOURCES = st.lists(st.tuples(DATES, st.lists(MODELS, max_size=4)), max_size=5)


def documents_of(resources: list[tuple[str, list[list[str]]]]) -> list[dict[str, Any]]:
    return [
        rewrite(f"r{number}", *(rule(*models, to=f"{number}-{i}") for i, models in enumerate(rules)), created=created)
        for number, (created, rules) in enumerate(resources)
    ]


def naive(resources: list[tuple[str, list[list[str]]]], model: str) -> str:
    candidates = [
        Candidate(created, f"r{number}", position, tuple(models), f"{number}-{position}")
        for number, (created, rules) in enumerate(resources)
        for position, models in enumerate(rules)
    ]
    candidates.sort(key=lambda one: (one.created, one.name, one.position))
    exact = [one.target for one in candidates if model in one.models]
    generic = [one.target for one in candidates if not one.models]
    return next(iter(exact + generic), model)


@given(RESOURCES, FEW, st.randoms(use_true_random=False))
def test_exact_names_win_then_age_then_position_in_whatever_file_they_stand(
    resources: list[tuple[str, list[list[str]]]], model: str, shuffler: random.Random
) -> None:
    documents = documents_of(resources)
    shuffler.shuffle(documents)
    assert sent(model, *documents) == naive(resources, model)


def test_rewrites_of_several_pools_stay_apart() -> None:
    found = config(pool(), pool("q"), rewrite("r", rule("a", to="x")), rewrite("s", rule("a", to="y"), to="q"))
    targets = {name: one.rewrites[0].targets[0].model for name, one in found.servers.items()}
    assert targets == {POOL: "x", "pool/default/q": "y"}


# --- routes of pools ---


def own_routes(*documents: object) -> list[tuple[str, tuple[str, ...], bool]]:
    """Names and models of the pools' own routes, and whether they come last."""
    found = config(*documents).routes
    return [(route.name, route.models, route.priority == LAST) for route in found if route.kind == "InferencePool"]


def test_a_pool_that_is_alone_takes_everything() -> None:
    assert own_routes(pool()) == [(f"{POOL}/other", (), True)]


def test_a_pool_takes_the_models_that_it_rewrites() -> None:
    found = own_routes(pool(), pool("q"), rewrite("r", rule("a", "b"), rule("c", "a")))
    assert found == [(POOL, ("a", "b", "c"), False)]


def test_a_pool_with_a_generic_rule_takes_everything_else() -> None:
    found = own_routes(pool(), pool("q"), rewrite("r", rule("a"), rule()))
    assert found == [(POOL, ("a",), False), (f"{POOL}/other", (), True)]


def test_a_pool_beside_others_that_rewrites_nothing_has_no_route() -> None:
    assert own_routes(pool(), pool("q"), rewrite("r", rule("a"))) == [(POOL, ("a",), False)]
    hints = [p for p in load(pool(), pool("q"), rewrite("r", rule("a"))).problems if p.code == "PS132"]
    assert [(hint.severity, hint.file) for hint in hints] == [(Severity.HINT, "1.json")]


def test_where_there_is_no_pool_the_one_that_rewrites_know_of_has_its_routes() -> None:
    assert own_routes(rewrite("r", rule("a"), rule())) == [
        (POOL, ("a",), False),
        (f"{POOL}/other", (), True),
    ]


def test_a_slip_in_a_reference_takes_nothing_from_the_pool_that_is_there() -> None:
    only = [("pool/default/q/other", (), True)]
    assert own_routes(pool("q"), rewrite("r", rule("a"), rule())) == only
    assert own_routes(pool("q"), objective("o", 1)) == only


@pytest.mark.parametrize(
    "route",
    [
        "{name: r, rules: [{targets: pool/default/p}]}",
        "{name: r, rules: [{targets: a, fallback: pool/default/p}]}",
        "{name: r, models: m, rules: [{targets: a}], fallback: pool/default/p}",
    ],
)
def test_a_pool_that_a_route_leads_to_has_no_route_of_its_own(route: str) -> None:
    texts = {
        "a.yaml": f"{SERVER}routes: [{route}]",
        "b.json": json.dumps(pool()),
        "c.json": json.dumps(rewrite("r", rule())),
    }
    found = load_texts(texts).config
    assert found is not None
    assert [one.name for one in found.routes] == ["r"]


@pytest.mark.parametrize("priority", ["-1000000", "last"])
def test_the_route_of_everything_else_comes_last_of_all(priority: str) -> None:
    lowest = f"{SERVER}routes: [{{name: r, priority: {priority}, rules: [{{targets: a}}]}}]"
    old = json.dumps(rewrite("r", rule(), created=OLD))
    found = load_texts({"a.json": old, "b.yaml": lowest}).config
    assert found is not None
    assert [route.name for route in found.routes] == ["r", f"{POOL}/other"]


def test_an_own_route_leads_to_its_pool_and_knows_where_it_stands() -> None:
    found = routes(pool(), rewrite("r", rule("a")))
    assert set(found) == {POOL, f"{POOL}/other"}
    for route in found.values():
        assert [one.targets for one in route.rules] == [(Target(POOL),)]
        assert (route.origin.file, route.origin.path) == ("0.json", "metadata.name")


def test_a_star_in_a_rewrite_makes_no_glob_of_the_own_route() -> None:
    assert own_routes(pool(), pool("q"), rewrite("r", rule("a*", "b"))) == [(POOL, ("b",), False)]


# --- order ---


def dated() -> list[dict[str, Any]]:
    days = [f"2026-01-0{day}T00:00:00Z" for day in range(1, 6)]

    def leading(name: str, to: str, created: str) -> dict[str, Any]:
        document = http_route({"matches": [{"path": {"value": f"/{name}"}}], "backendRefs": [backend(to)]}, name=name)
        document["metadata"]["creationTimestamp"] = created
        return document

    return [
        leading("0", "p", days[4]),
        leading("b", "q", days[2]),
        leading("a", "p", days[2]),
        rewrite("later", rule("m", to="x"), rule(to="y"), to="r", created=days[3]),
        rewrite("earlier", rule("m", to="z"), rule("n"), to="r", created=days[1]),
    ]


def test_the_order_of_dated_resources_does_not_depend_on_their_files() -> None:
    pools = [pool("p"), pool("q"), pool("r", created=OLD)]
    orders = set()
    for documents in permutations(dated()):
        found = config(*pools, *documents)
        names = tuple(route.name for route in found.routes)
        targets = tuple(one.targets[0].model for one in found.servers["pool/default/r"].rewrites)
        orders.add((names, targets))
    expected = ("pool/default/r", "http/default/a", "http/default/b", "http/default/0", "pool/default/r/other")
    assert orders == {(expected, ("z", "target", "x", "y"))}


def test_of_resources_of_one_age_and_name_the_kinds_decide() -> None:
    model_route = {
        "apiVersion": "networking.matrixinfer.ai/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": "r", "creationTimestamp": OLD},
        "spec": {"routes": [{"match": {"path": "/x"}, "destination": {"modelServerRef": {"name": "s"}}}]},
    }
    other = http_route({"backendRefs": [backend()]})
    other["metadata"]["creationTimestamp"] = OLD
    orders = {
        tuple(route.name for route in config(pool(), *both).routes) for both in permutations((model_route, other))
    }
    assert orders == {("default/r", "http/default/r")}


def test_undated_resources_keep_the_order_of_their_files() -> None:
    found = [http_route({"backendRefs": [backend()]}, name=name) for name in ("b", "a")]
    assert [route.name for route in config(pool(), *found).routes] == ["http/default/b", "http/default/a"]


# --- endpoints ---


def test_pools_get_their_endpoints_from_all_files() -> None:
    found = server({"endpoints": [endpoint("a", app="p")]}, pool(), {"endpoints": [endpoint("b", app="p")]})
    assert [one.host for one in found.endpoints] == ["a", "b"]


def test_a_configuration_says_what_its_selectors_chose_from() -> None:
    assert [one.host for one in config(pool(), {"endpoints": [endpoint("a"), endpoint("b")]}).inventory] == ["a", "b"]


@pytest.mark.slow
def test_thousands_of_pools_rewrites_and_endpoints_load_in_seconds() -> None:
    names = [f"p{number}" for number in range(5_000)]
    documents = [*(pool(name) for name in names), *(rewrite(name, rule(f"m-{name}"), to=name) for name in names)]
    listed = {"endpoints": [endpoint(name, app=name) for name in names]}
    found = load({"apiVersion": "v1", "kind": "List", "items": documents}, listed)
    assert not found.problems
    assert found.config is not None
    assert all(len(one.endpoints) == 1 for one in found.config.servers.values())


def test_what_fits_together_is_told_nothing() -> None:
    whole = [pool(), rewrite("r", rule("a"), rule()), objective("o", 1), {"endpoints": [endpoint(app="p")]}]
    assert not problems(*whole)
    assert load(*whole).problems == ()
