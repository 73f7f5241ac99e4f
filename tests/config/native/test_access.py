"""What a server shows, where it listens and how many requests it has at once; no key is ever told."""

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.access_spec import Queueing
from proxy.config.loader import load_texts
from proxy.config.match_spec import Exact, Prefix, Regex
from proxy.config.spec import Credential, ServiceListener
from proxy.errors import Problem, Severity
from tests.config.native_documents import ROUTE, server, server_problem

THIS = str(Path(__file__).absolute())


def told(fields: str, **variables: str) -> tuple[Problem, ...]:
    return load_texts({"a.yaml": f"servers: {{a: {{endpoints: [http://h], {fields}}}}}\n{ROUTE}"}, variables).problems


def errors(fields: str) -> list[Problem]:
    return [problem for problem in told(fields) if problem.severity is Severity.ERROR]


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        ("api_key: sk-1", Credential(value="sk-1")),
        (f"api_key_file: {THIS}", Credential(file=THIS)),
        ("credential: {secret: ns/key, key: token}", Credential(secret="ns/key", key="token")),
        ("credential: {secret: a/b, key: k, scheme: APIKey}", Credential(secret="a/b", key="k", scheme="APIKey")),
        ("credential: {secret: a/b, key: k, scheme: x-api-key}", Credential(secret="a/b", key="k", scheme="x-api-key")),
    ],
)
def test_engines_are_shown_a_key_a_file_or_a_secret(fields: str, credential: Credential) -> None:
    found = server(f"endpoints: http://h, {fields}").credential
    assert found == credential
    assert "sk-1" not in repr(found)


def test_a_key_that_stands_in_the_file_is_a_hint_without_it() -> None:
    (problem,) = told("api_key: sk-hunter2")
    assert (problem.severity, problem.code, problem.path) == (Severity.HINT, "PS125", "servers.a.api_key")
    assert "api_key_file" in problem.message
    assert "hunter2" not in problem.message


@pytest.mark.parametrize("key", ["sk-hunter2", "12345"])
def test_a_key_from_a_variable_is_no_hint(key: str) -> None:
    assert told("api_key: '${KEY}'", KEY=key) == ()


@pytest.mark.parametrize("key", ["'hunter2 '", '"hunter2\\nx: y"', "hünter2", "[hunter2]", "''", f"{'hunter2' * 3000}"])
def test_what_is_no_key_is_told_without_it(key: str) -> None:
    (problem,) = errors(f"api_key: {key}")
    assert problem.code in {"PS110", "PS120"}
    assert "hunter2" not in problem.message


def test_a_number_is_no_key_and_is_not_told() -> None:
    (problem,) = errors("api_key: 8675309")
    assert (problem.code, problem.message) == ("PS110", "expected an API key as a text (put it in quotes)")


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (f"api_key: a, api_key_file: {THIS}", "PS113", "give one of api_key and api_key_file, not several"),
        ("api_key: a, credential: {secret: a/b, key: k}", "PS113", "not several"),
        ("api_key_file: none.txt", "PS123", "there is no file 'none.txt'"),
        ("credential: {secret: a/b}", "PS112", "'key' is missing"),
        ("credential: {key: k}", "PS112", "'secret' is missing"),
        ("credential: {secret: a/b, key: k, scheme: Basic}", "PS120", "Bearer, APIKey or x-api-key"),
    ],
)
def test_a_slip_in_a_credential_is_told(fields: str, code: str, words: str) -> None:
    (problem,) = errors(fields)
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ("headers: {AUTHORIZATION: x}, api_key: a", "AUTHORIZATION"),
        ("headers: {x-api-key: x}, credential: {secret: a/b, key: k, scheme: APIKey}", "x-api-key"),
    ],
)
def test_a_header_is_not_set_beside_the_key_that_it_shows(fields: str, header: str) -> None:
    (problem,) = errors(fields)
    assert (problem.code, problem.path) == ("PS113", f"servers.a.headers.{header}")
    assert told("headers: {x-api-key: x}, credential: {secret: a/b, key: k}") == ()


# --- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ("", ()),
        ("path: /v1/models", (Exact("/v1/models"),)),
        ("path: '/v1/*'", (Prefix("/v1/"),)),
        ("paths: [/a, {regex: ^/b$}]", (Exact("/a"), Regex("^/b$"))),
        ("paths: []", ()),
    ],
)
def test_a_listener_serves_its_paths(fields: str, paths: tuple[object, ...]) -> None:
    found = server(f"endpoints: http://h, listener: {{port: 443, tls_secret: ns/cert, {fields}}}")
    assert found.listener == replace(ServiceListener(443, "ns/cert"), paths=paths)  # type: ignore[arg-type]


def test_a_port_of_its_own_alone_is_no_problem() -> None:
    assert told("listener: {port: 80}") == ()


@pytest.mark.parametrize(
    ("listener", "code", "words"),
    [
        ("{tls_secret: a/b}", "PS112", "'port' is missing"),
        ("{port: 70000}", "PS110", "from 1 to 65535"),
        ("80", "PS110", "a mapping with port"),
        ("{port: 1, path: a}", "PS120", "a path begins with /"),
        ("{port: 1, path: {regex: '['}}", "PS121", "no pattern"),
        ("{port: 1, path: /a, paths: [/b]}", "PS113", "give one of path and paths"),
        ("{port: 1, paths: /b}", "PS110", "a list"),
    ],
)
def test_a_slip_in_a_listener_is_told(listener: str, code: str, words: str) -> None:
    (problem,) = errors(f"listener: {listener}")
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize("secret", ["a", "/a", "a/", "../a", "a/..", "a/./b", "a/../b", ".", "''"])
def test_a_secret_is_named_by_its_namespace_and_never_leads_elsewhere(secret: str) -> None:
    problem = server_problem(f"endpoints: [http://h], listener: {{port: 1, tls_secret: {secret}}}")
    assert (problem.severity, problem.code) == (Severity.ERROR, "PS120")


def test_a_secret_from_a_variable_is_not_shown() -> None:
    (problem,) = told("listener: {port: 1, tls_secret: '${S}'}", S="hunter2")
    assert problem.severity is Severity.ERROR
    assert "hunter2" not in problem.message


# --- how many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "queueing"),
    [
        ("", None),
        ("max_in_flight: 5", Queueing(5)),
        ("max_in_flight_per_endpoint: 5", Queueing(None, 5)),
        ("max_in_flight: 9, max_in_flight_per_endpoint: 5, max_pending: 7, queue_timeout: 2s", Queueing(9, 5, 7, 2.0)),
        ("max_pending: 7", None),
    ],
)
def test_requests_wait_where_something_bounds_them(fields: str, queueing: Queueing | None) -> None:
    assert server(f"endpoints: http://h, {fields}").queueing == queueing


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("max_pending: 7", "without max_in_flight no request ever waits"),
        ("queue_timeout: 7s", "without max_in_flight no request ever waits"),
        ("max_in_flight: 1, queue_timeout: 7s", "without max_pending no request ever waits"),
    ],
)
def test_a_queue_that_nobody_waits_in_is_told(fields: str, words: str) -> None:
    problem = server_problem(f"endpoints: [http://h], {fields}")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS136")
    assert words in problem.message


@pytest.mark.parametrize("fields", ["max_in_flight: 0", "max_in_flight_per_endpoint: 0", "max_pending: -1"])
def test_a_bound_out_of_bounds_is_told(fields: str) -> None:
    assert [problem.code for problem in errors(fields)] == ["PS110"]


def test_a_wait_of_nothing_is_told() -> None:
    assert [problem.code for problem in errors("max_in_flight: 1, max_pending: 1, queue_timeout: 0")] == ["PS110"]


@pytest.mark.parametrize("key", ["../../../etc/passwd", "..", "a/b"])
def test_a_key_of_a_secret_stays_in_the_folder_of_secrets(key: str) -> None:
    text = f"servers: {{a: {{endpoints: [http://h], credential: {{secret: d/s, key: '{key}'}}}}}}\n{ROUTE}"
    assert [problem.severity for problem in load_texts({"a.yaml": text}).problems] == [Severity.ERROR]


@pytest.mark.parametrize(
    "key",
    ["limits", "rate_limit", "api_key", "api_key_file", "credential", "listener", "max_in_flight",
     "max_in_flight_per_endpoint", "max_pending", "queue_timeout"],
)  # fmt: skip
def test_a_key_of_a_server_without_a_value_is_told(key: str) -> None:
    (problem,) = told(f"{key}: ")
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS136", f"servers.a.{key}")
    assert f"{key!r} has no value" in problem.message


def test_an_endpoint_whose_bound_has_no_value_is_told() -> None:
    text = f"servers: {{a: {{endpoints: [{{url: http://h, max_in_flight: }}]}}}}\n{ROUTE}"
    (problem,) = load_texts({"a.yaml": text}).problems
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS136")


def test_a_variable_that_is_not_set_is_told_once() -> None:
    assert [problem.code for problem in told("max_in_flight: '${NONE}'")] == ["PS109"]
