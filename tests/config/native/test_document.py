"""A native document hands each of its parts to its reader."""

from json import dumps

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.schema.document import Part, json_schema
from proxy.config.spec import EndpointSpec, Selector
from proxy.errors import Severity
from tests.config.native_documents import ROUTE, SERVER, load, only_problem


def test_servers_routes_and_endpoints_may_stand_in_one_document() -> None:
    text = "servers: {a: {select: {labels: {app: x}}}}\n" + ROUTE
    text += "endpoints: [{address: h, port: 1, labels: {app: x}}]"
    config = load(text).config
    assert config is not None
    assert config.servers["a"].endpoints == (EndpointSpec("http", "h", 1, labels=(("app", "x"),)),)
    assert config.servers["a"].selector == Selector(labels=(("app", "x"),))
    assert [route.name for route in config.routes] == ["r"]
    assert len(config.inventory) == 1


@pytest.mark.parametrize("key", ["servers", "routes", "endpoints"])
def test_a_part_without_a_value_is_left_out(key: str) -> None:
    text = SERVER + ROUTE
    text = text.replace(f"{key}: ", f"{key}: #") if key in text else f"{text}{key}:"
    assert "PS110" not in {problem.code for problem in load(text).problems}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("routes: {a: 1}", "PS110", "expected a list of routes, found a mapping"),
        ("servers: [a]", "PS110", "expected a mapping of names to servers, found a list"),
        ("endpoints: {a: 1}", "PS110", "expected a list of endpoints, found a mapping"),
    ],
)
def test_a_part_of_another_shape_is_told(text: str, code: str, words: str) -> None:
    problems = [problem for problem in load(text).problems if problem.severity is Severity.ERROR]
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message


def test_an_unknown_part_is_told_with_the_nearest_known_one() -> None:
    problem = only_problem(f"{SERVER}{ROUTE}endpoint: []")
    assert (problem.code, problem.suggestion) == ("PS111", "endpoints")


# Every key and every word of the native form, in whatever place.
FORMS = [form for form in json_schema(Part.ROUTES)["$defs"].values() if "properties" in form]
KEYS = sorted({key for form in FORMS for key in form["properties"]})
SCALARS = [None, True, 0, 1, -1, 1.5, 1e999, "", " ", "a", "a/b", "5s", "20%", "http://h", "/a*", "a(", "${A}", "last"]
OPERATORS = ["equals", "in", "exists", "less_than", "regex"]
VALUES = st.recursive(
    st.sampled_from([*SCALARS, *OPERATORS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
RULES = st.dictionaries(
    st.sampled_from(["name", "targets", "match", "matches", "fallback", "shadow", "analysis"]), VALUES
)
ROUTES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5).map(lambda route: {"name": "r", **route})
DOCUMENTS = st.fixed_dictionaries(
    {
        "servers": st.dictionaries(st.sampled_from(["a", "", " "]), st.dictionaries(st.sampled_from(KEYS), VALUES)),
        "routes": st.lists(st.builds(lambda route, rules: {**route, "rules": rules}, ROUTES, st.lists(RULES) | VALUES)),
        "endpoints": st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES)) | VALUES,
    }
)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(DOCUMENTS)
def test_no_document_makes_the_reader_raise(document: object) -> None:
    load(dumps(document), "a.json")
    load(dumps(document))
