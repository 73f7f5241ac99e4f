"""Limits are read alike for servers and routes, and a Redis with its password is never told."""

import pytest

from proxy.config.access_spec import Counted, Fail, Limit, Redis, Share
from proxy.config.loader import load_texts
from proxy.config.settings import load_settings_text
from proxy.config.values.limits import COUNTED
from proxy.errors import Problem, Severity
from tests.config.native_documents import ROUTE, route, server


def limits(written: str) -> tuple[Limit, ...]:
    found = server(f"endpoints: http://h, limits: {written}").limits
    assert route(f"rules: [{{targets: a}}], limits: {written}").limits == found
    return found


def errors(written: str, **variables: str) -> list[Problem]:
    text = f"servers: {{a: {{endpoints: [http://h], limits: {written}}}}}\n{ROUTE}"
    problems = load_texts({"a.yaml": text}, variables).problems
    return [problem for problem in problems if problem.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("{requests: 100}", Limit(Counted.REQUESTS, 100.0)),
        ("{requests: 0.5, per: hour, burst: 3}", Limit(Counted.REQUESTS, 0.5, "hour", 3.0)),
        ("{tokens: 9, per: month, by: key}", Limit(Counted.TOKENS, 9.0, "month", by=(Share.KEY,))),
        ("{input_tokens: 9, by: [user, model, user]}", Limit(Counted.INPUT_TOKENS, 9.0, by=(Share.USER, Share.MODEL))),
        ("{output_tokens: 9, by: address}", Limit(Counted.OUTPUT_TOKENS, 9.0, by=(Share.ADDRESS,))),
        ("{requests: 1, redis: 'redis://h:1'}", Limit(Counted.REQUESTS, 1.0, redis=Redis("redis://h:1"))),
        (
            "{requests: 1, redis: {url: 'rediss://u:p@h/2', fail: closed, timeout: 50ms}}",
            Limit(Counted.REQUESTS, 1.0, redis=Redis("rediss://u:p@h/2", Fail.CLOSED, 0.05)),
        ),
    ],
)
def test_a_limit_is_read(written: str, limit: Limit) -> None:
    assert limits(f"[{written}]") == (limit,)
    assert limit.settled


def test_several_limits_hold_together() -> None:
    assert [limit.counted.value for limit in limits("[{requests: 1}, {tokens: 2}]")] == ["requests", "tokens"]
    assert limits("[]") == ()


@pytest.mark.parametrize(
    ("written", "code", "path", "words"),
    [
        ("{requests: 1}", "PS110", "", "a list of limits"),
        ("[5]", "PS110", "[0]", "a mapping with one of requests, tokens"),
        ("[{}]", "PS113", "[0]", f"exactly one of {', '.join(COUNTED)}; found none"),
        ("[{requests: 1, tokens: 1}]", "PS113", "[0]", "found requests and tokens"),
        ("[{requests: }]", "PS112", "[0].requests", "has no value"),
        ("[{requests: 0}]", "PS110", "[0].requests", "a number above 0"),
        ("[{requests: many}]", "PS110", "[0].requests", "a number above 0"),
        ("[{requests: 1, burst: 0}]", "PS110", "[0].burst", "a number above 0"),
        ("[{requests: 1, per: year}]", "PS120", "[0].per", "second, minute, hour, day or month"),
        ("[{requests: 1, by: team}]", "PS120", "[0].by", "key, user, model or address"),
        ("[{requests: 1, unit: day}]", "PS111", "[0].unit", "unknown key"),
        ("[{requests: 1, redis: 5}]", "PS110", "[0].redis", "redis://redis.example:6379/0"),
        ("[{requests: 1, redis: {fail: open}}]", "PS112", "[0].redis", "'url' is missing"),
        ("[{requests: 1, redis: {url: 'redis://h', fail: maybe}}]", "PS120", "[0].redis.fail", "open, local or closed"),
        ("[{requests: 1, redis: {url: 'redis://h', timeout: 0}}]", "PS110", "[0].redis.timeout", "above 0"),
    ],
)
def test_a_slip_is_told(written: str, code: str, path: str, words: str) -> None:
    (problem,) = errors(written)
    assert (problem.code, problem.path) == (code, f"servers.a.limits{path}")
    assert words in problem.message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("hunter2", "it begins with redis://, rediss:// or unix://"),
        ("http://:hunter2@h", "it begins with redis://"),
        ("redis://:hunter2@", "its host is missing"),
        ("redis://:hunter2@h:0", "a port is from 1"),
        ("redis://:hunter2@h:port", "its host or port cannot be read"),
        ("redis://:hunter2@h/db", "the number of a database"),
        ("redis://:hunter2@h/0#a", "a fragment"),
        ("'redis://:hunter2 @h'", "a space"),
        ("unix://hunter2", "the path of its socket is missing"),
    ],
)
def test_what_is_no_address_of_a_redis_is_told_without_its_password(url: str, words: str) -> None:
    (problem,) = errors(f"[{{requests: 1, redis: '{url.strip(chr(39))}'}}]")
    assert problem.code == "PS122"
    assert words in problem.message
    assert "hunter2" not in problem.message


@pytest.mark.parametrize("url", ["redis://h", "redis://[::1]:6379/15", "rediss://h/", "unix:///run/redis.sock?db=1"])
def test_an_address_of_a_redis_is_kept(url: str) -> None:
    settings = load_settings_text("/etc/penstock.yaml", f"routes: r\nredis: '{url}'", {}).settings
    assert settings is not None
    assert settings.redis == Redis(url)


def test_a_redis_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(Redis("redis://:hunter2@h"))


@pytest.mark.parametrize("key", ["by", "burst", "redis"])
def test_a_part_of_a_limit_without_a_value_is_told(key: str) -> None:
    text = f"servers: {{a: {{endpoints: [http://h], limits: [{{requests: 1, {key}: }}]}}}}\n{ROUTE}"
    (problem,) = load_texts({"a.yaml": text}).problems
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS136")
