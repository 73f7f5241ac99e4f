"""What the access log writes is read back, in both of its forms."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.match_spec import (
    BodyCondition,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    PathCondition,
    QueryCondition,
)
from proxy.config.spec import Rule
from proxy.forwarding.exchange import Exchange
from proxy.operators import Operator
from proxy.routing.log_lines import (
    ANSWERED_HERE,
    LONGEST_LOGGED,
    LoggedRequest,
    asks_for_more,
    from_json,
    from_text,
    is_at,
    is_event,
)
from proxy.runtime.reception import ANSWERED_HERE as LOCAL_PATHS
from proxy.telemetry.access_log import LONGEST_FIELD, JsonLines, TextLines

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda name: name != "-")


def exchange(**more: object) -> Exchange:
    values: dict[str, object] = {
        "request_id": "a1",
        "client": "10.0.0.7",
        "method": "POST",
        "target": "/v1/x",
        "started": 1.0,
    }
    return Exchange(**{**values, **more})  # type: ignore[arg-type]


def text_line(found: Exchange) -> str:
    return TextLines(lambda: 0.0).line(found).decode()


def json_line(found: Exchange) -> object:
    return json.loads(JsonLines(lambda: 0.0).line(found))


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_line_is_read_as_it_was_written(model: str, route: str, rule: str, path: str) -> None:
    path = "/" + path.replace("?", "")
    written = exchange(target=path + "?secret=1", model=model, route=route, rule=rule)
    expected = LoggedRequest("POST", path, model, f"{route}/{rule}")
    assert from_text(text_line(written)) == expected
    assert from_json(json_line(written)) == expected
    assert is_at(expected.place, route, rule)


def test_what_the_log_leaves_open_is_nothing() -> None:
    written = exchange(status=404)
    expected = LoggedRequest("POST", "/v1/x", None, "")
    assert from_text(text_line(written)) == from_json(json_line(written)) == expected


def test_a_target_with_a_host_has_the_same_path() -> None:
    written = exchange(target="http://h:80/v1/x?q")
    for found in (from_text(text_line(written)), from_json(json_line(written))):
        assert found is not None
        assert found.path == "/v1/x"


def test_names_that_the_log_cuts_are_still_known() -> None:
    name = "x" * (LONGEST_LOGGED + 9)
    written = exchange(route=name, rule="r", model=name)
    found = from_text(text_line(written))
    assert found is not None
    assert found.model == name[:LONGEST_LOGGED]
    assert is_at("x" * LONGEST_LOGGED + "/r", name, "r")


@pytest.mark.parametrize(
    ("written", "routed"),
    [
        (exchange(target="/v1/x"), True),
        (exchange(target="/health"), False),
        (exchange(target="/health", route="a", rule="b"), True),
        (exchange(method="-", target="-"), False),
        (exchange(method="GET", target="/v1/models"), False),
    ],
)
def test_messages_about_which_no_route_was_asked_are_told_apart(written: Exchange, routed: bool) -> None:
    for found in (from_text(text_line(written)), from_json(json_line(written))):
        assert found is not None
        assert found.routed is routed


def test_it_knows_what_the_proxy_and_its_log_know() -> None:
    assert {path.encode() for path in ANSWERED_HERE} == LOCAL_PATHS
    assert LONGEST_LOGGED == LONGEST_FIELD


@pytest.mark.parametrize("line", ["", "x", "2026-11-20T13:37:38.123Z info penstock.app: hello", '{"model": "x"}'])
def test_other_lines_are_none_of_its(line: str) -> None:
    assert from_text(line) is None


@pytest.mark.parametrize("data", [None, [], {}, {"method": "GET", "path": "/x"}])
def test_other_data_are_none_of_its(data: object) -> None:
    assert from_json(data) is None


def test_a_line_with_values_of_another_type_is_none() -> None:
    line = {"time": 1, "client": 1, "method": 1, "path": 1, "status": 1, "route": 1, "rule": 1}
    assert from_json(line) is None


def test_lines_of_the_event_log_are_known() -> None:
    assert is_event("2026-11-20T13:37:38.123Z warning penstock.reload: a file is bad")
    assert is_event("    Traceback (most recent call last):")
    assert is_event({"time": "", "level": "info", "logger": "a", "message": "b"})
    assert not is_event(text_line(exchange()))
    assert not is_event({"message": "x"})


@pytest.mark.parametrize(
    ("condition", "more"),
    [
        (PathCondition(Exact("/")), False),
        (BodyCondition(("model",), Exact("m")), False),
        (BodyCondition(("user",), Exact("m")), True),
        (HeaderCondition("a", Exact("m")), True),
        (QueryCondition("a", Exact("m")), True),
        (FieldCondition("request.path", Operator.EXISTS), False),
        (FieldCondition("request.stream", Operator.EXISTS), True),
        (FieldCondition("user.tier", Operator.EXISTS), True),
    ],
)
def test_conditions_on_what_the_log_does_not_hold_are_known(condition: object, more: bool) -> None:
    assert asks_for_more(Rule("r", (), (Match((condition,)),))) is more  # type: ignore[arg-type]
