"""Rewrites, selectors and pairs of a server: each slip in it is told at its place."""

import pytest

from proxy.errors import Severity
from tests.config.native_documents import ROUTE, load, server

PAIRS = "prefill: {labels: {r: p}}, decode: {labels: {r: d}}"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("headers: [a]", "PS110", "a mapping of texts"),
        ("headers: {x y: a}", "PS120", "'x y' cannot be the name of a header"),
        ("headers: {Connection: close}", "PS120", "'Connection' is the proxy's own to set"),
        ("headers: {host: a}", "PS120", "the proxy's own"),
        ("headers: {Content-Length: 1}", "PS120", "the proxy's own"),
        ("headers: {transfer-encoding: a}", "PS120", "the proxy's own"),
        ("headers: {x-a: 1, X-A: 2}", "PS102", "already given"),
        ('headers: {x-a: "a\\nb"}', "PS120", "line break"),
        ("headers: {x-a: }", "PS110", "a text, found nothing"),
        ("restore_model: maybe", "PS110", "true or false"),
        ("rewrites: {targets: m}", "PS110", "a list"),
        ("rewrites: [{models: a}]", "PS112", "'targets' is missing"),
        ("rewrites: [{targets: []}]", "PS124", "at least one target"),
        ("rewrites: [{targets: [{model: m, weight: 0}]}]", "PS124", "all weights are 0"),
        ("rewrites: [{targets: [{weight: 1}]}]", "PS112", "'model' is missing"),
        ("rewrites: [{targets: {model: m, weight: 1000001}}]", "PS110", "from 0 to 1000000"),
        ("rewrites: [{targets: m, models: ['']}]", "PS120", "empty"),
        ("rewrites: [{targets: m, model: a}]", "PS111", "'model'"),
        ("objectives: [a]", "PS110", "a mapping of names to priorities"),
        ("objectives: {a: high}", "PS110", "a whole number"),
        ("objectives: {' a': 1}", "PS120", "a space"),
        ("select: {}", "PS112", "select needs labels or a workload"),
        ("select: {ports: 8000}", "PS112", "select needs labels or a workload"),
        ("select: {labels: {a: b}, ports: 0}", "PS110", "from 1 to 65535"),
        ("select: {labels: {a: b}, scheme: ftp}", "PS120", "http or https"),
        ("select: {labels: {a: b}, port: 1}", "PS111", "'port'"),
        ("select: [a]", "PS110", "a mapping with labels or workload"),
        (f"disaggregation: {{{PAIRS}}}", "PS112", "'group' is missing"),
        ("disaggregation: {group: g, decode: {labels: {r: d}}}", "PS112", "'prefill' is missing"),
        ("disaggregation: {group: g, prefill: {labels: {}}, decode: {labels: {r: d}}}", "PS110", "at least one label"),
        ("disaggregation: {group: g, prefill: {r: p}, decode: {labels: {r: d}}}", "PS112", "'labels' is missing"),
        (f"disaggregation: {{group: g, {PAIRS}, connector: carrier}}", "PS120", "http, lmcache, nixl"),
    ],
)
def test_a_slip_is_told(fields: str, code: str, words: str) -> None:
    problems = load(f"servers: {{a: {{endpoints: [http://h], {fields}}}}}\n" + ROUTE).problems
    found = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert code in {problem.code for problem in found}
    assert words in next(problem.message for problem in found if problem.code == code)


def test_a_rewrites_names_are_exact_texts() -> None:
    (rewrite,) = server("endpoints: http://h, rewrites: [{models: ['*', ' a'], targets: 'b '}]").rewrites
    assert (rewrite.models, rewrite.targets[0].model) == (("*", " a"), "b ")
