"""The token limit of Kthena's ModelRoute is read, checked and kept."""

import pytest

from proxy.config.spec import TokenLimit
from proxy.errors import Severity
from tests.config.model_resources import document, only_error, only_problem, problems, route


def written(limit: str) -> str:
    rules = "rules: [{targetModels: [{modelServerName: a}]}]"
    return document("ModelRoute", f"{{modelName: m, {rules}, rateLimit: {limit}}}")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("{inputTokensPerUnit: 30, outputTokensPerUnit: 100, unit: minute}", TokenLimit(30, 100, "minute")),
        ("{inputTokensPerUnit: 1}", TokenLimit(1, None, "second")),
        ("{outputTokensPerUnit: 4294967295, unit: month}", TokenLimit(None, 4294967295, "month")),
        ("{tokensPerUnit: 7, unit: hour}", TokenLimit(7, None, "hour")),
        ("{inputTokensPerUnit: 1, unit: day, global: {}}", TokenLimit(1, None, "day")),
        (
            "{inputTokensPerUnit: 1, global: {redis: {address: 'redis.default.svc:6379'}}}",
            TokenLimit(1, None, "second", "redis.default.svc:6379"),
        ),
        ("{inputTokensPerUnit: 1, global: {redis: {address: '[::1]:1'}}}", TokenLimit(1, None, "second", "[::1]:1")),
    ],
)
def test_a_token_limit_is_kept(limit: str, expected: TokenLimit) -> None:
    assert route(written(limit)).token_limit == expected
    assert not problems(written(limit))


def test_a_limit_that_limits_nothing_is_told() -> None:
    problem = only_problem(written("{unit: day}"))
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.WARNING, "spec.rateLimit")
    assert "nothing is limited" in problem.message


@pytest.mark.parametrize(
    ("limit", "code", "path", "words"),
    [
        ("5", "PS110", "", "a mapping with inputTokensPerUnit"),
        ("{inputTokensPerUnit: 0}", "PS110", ".inputTokensPerUnit", "from 1 to 4294967295, found the number 0"),
        ("{inputTokensPerUnit: 4294967296}", "PS110", ".inputTokensPerUnit", "from 1 to 4294967295"),
        ("{outputTokensPerUnit: 0}", "PS110", ".outputTokensPerUnit", "from 1 to 4294967295"),
        ("{outputTokensPerUnit: many}", "PS110", ".outputTokensPerUnit", "a whole number"),
        ("{tokensPerUnit: 0}", "PS110", ".tokensPerUnit", "from 1"),
        ("{inputTokensPerUnit: 1, tokensPerUnit: 1}", "PS113", ".tokensPerUnit", "give one of"),
        ("{inputTokensPerUnit: 1, unit: week}", "PS120", ".unit", "second, minute, hour, day or month, found 'week'"),
        ("{inputTokensPerUnit: 1, global: on}", "PS110", ".global", "a mapping with redis"),
        ("{inputTokensPerUnit: 1, global: {redis: a}}", "PS110", ".global.redis", "a mapping with address"),
        ("{inputTokensPerUnit: 1, global: {redis: {}}}", "PS112", ".global.redis", "'address' is missing"),
        ("{inputTokensPerUnit: 1, global: {redis: {address: a}}}", "PS122", ".global.redis.address", "found 'a'"),
        ("{inputTokensPerUnit: 1, global: {redis: {address: ':1'}}}", "PS122", ".global.redis.address", "a host"),
        ("{inputTokensPerUnit: 1, global: {redis: {address: 'a:0'}}}", "PS122", ".global.redis.address", "a port"),
        ("{inputTokensPerUnit: 1, global: {redis: {address: 'a:65536'}}}", "PS122", ".global.redis.address", "a port"),
        ("{inputTokensPerUnit: 1, global: {redis: {address: [a]}}}", "PS122", ".global.redis.address", "a list"),
    ],
)
def test_a_slip_in_a_limit_is_told(limit: str, code: str, path: str, words: str) -> None:
    problem = only_error(written(limit))
    assert (problem.code, problem.line, problem.path) == (code, 4, f"spec.rateLimit{path}")
    assert words in problem.message


def test_a_unit_is_suggested() -> None:
    assert only_error(written("{inputTokensPerUnit: 1, unit: Minute}")).suggestion == "minute"
