"""What model resources have in common, and that nothing but problems comes of whatever stands in them."""

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.kubernetes.values import go_duration, label_name, optional_name
from proxy.config.loader import load_texts
from proxy.config.problems import Problems
from proxy.config.text.nodes import Place, ScalarNode
from proxy.config.values.kinds import Kind
from proxy.errors import Severity
from tests.config.model_resources import KTHENA, MATRIXINFER, document, problems

HERE = Place("a.yaml", 1, 1)


def read(kind: Kind[Any], text: str) -> object:
    return kind(ScalarNode(HERE, text, text), Problems())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1h0m0s", 3600.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("+2m", 120.0),
        ("100ms", 0.1),
        ("250us", 0.00025),
        ("250\u00b5s", 0.00025),
        ("250\u03bcs", 0.00025),
        ("1000000ns", 0.001),
        ("0s", 0.0),
        ("0", 0.0),
        ("60", 60.0),
        ("1d", 86400.0),
        ("8784h", 366 * 86400.0),
    ],
)
def test_a_duration_is_written_as_go_does_or_as_the_native_form_does(text: str, seconds: float) -> None:
    assert read(go_duration, text) == seconds


@pytest.mark.parametrize("text", ["", "s", ".s", "-1s", "1 s", "1x", "1e3s", "8785h", "99999999999999999999h"])
def test_what_is_no_duration_is_told(text: str) -> None:
    assert read(go_duration, text) is None


@pytest.mark.parametrize("text", ["app", "a", "A-b_c.D", "example.com/app", "a" * 63, f"{'a' * 253}/{'b' * 63}"])
def test_a_label_s_name_has_a_domain_before_it_or_none(text: str) -> None:
    assert read(label_name, text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "a b", "é", "a" * 64, "/a", "a/", "a/b/c", "A.com/a", "-a/b", f"{'a' * 254}/b", "a\n"]
)
def test_what_is_no_label_s_name_is_told(text: str) -> None:
    assert read(label_name, text) is None


def test_an_empty_name_is_none() -> None:
    assert (read(optional_name, ""), read(optional_name, "a"), read(optional_name, " ")) == ("", "a", None)


def test_labels_may_be_numbers_and_empty() -> None:
    def selected(labels: str) -> str:
        spec = f"{{inferenceEngine: vLLM, workloadPort: {{port: 1}}, workloadSelector: {{matchLabels: {labels}}}}}"
        return document("ModelServer", spec)

    assert not problems(selected("{rank: 1, on: true, none: ''}"))
    assert [problem.path for problem in problems(selected("{a/b/c: x, d: y z, e: }"))] == [
        "spec.workloadSelector.matchLabels.a/b/c",
        "spec.workloadSelector.matchLabels.d",
        "spec.workloadSelector.matchLabels.e",
    ]


# --- whatever stands in a resource ------------------------------------------------------------------------------------

SPECS: list[tuple[str, dict[str, Any]]] = [
    (
        "ModelRoute",
        {
            "routes": [
                {
                    "match": {"headers": {"a": "b"}, "queryParams": {"c": "d"}, "path": "/x/*"},
                    "destination": {"modelServerRef": {"name": "r", "namespace": "ns"}},
                    "weight": 90,
                    "timeout": "60s",
                    "retries": 3,
                },
                {"match": {"path": "/y"}, "destination": {"modelServerRef": {"name": "b"}}, "weight": 10},
                {"match": {"path": "/y"}, "destination": {"modelServerRef": {"name": "c"}}, "weight": 10},
            ],
            "fallback": {"modelServerRef": {"name": "b"}},
            "canary": {
                "enabled": True,
                "trafficSplit": {"stable": 90, "canary": 10},
                "analysis": {"threshold": 95, "interval": "5m"},
            },
        },
    ),
    (
        "ModelRoute",
        {
            "modelName": "m",
            "loraAdapters": ["a", "b"],
            "parentRefs": [{"name": "g", "port": 80}],
            "rules": [
                {
                    "name": "x",
                    "modelMatch": {
                        "headers": {"a": {"exact": "b"}, "c": {"regex": "^d?$"}},
                        "uri": {"prefix": "/v1"},
                        "body": {"model": "m"},
                    },
                    "targetModels": [{"modelServerName": "r", "weight": 1}],
                },
                {"targetModels": [{"modelServerName": "r", "weight": 1}, {"modelServerName": "s"}]},
            ],
            "rateLimit": {
                "inputTokensPerUnit": 1,
                "outputTokensPerUnit": 2,
                "unit": "day",
                "global": {"redis": {"address": "a:1"}},
            },
        },
    ),
    (
        "ModelServer",
        {
            "modelInferRef": {"name": "w", "namespace": "ns"},
            "service": {"type": "ClusterIP", "port": 443, "targetPort": 8000, "annotations": {"a": "b"}},
            "routing": {"path": "/m", "timeout": "60s", "retries": 3},
            "rateLimit": {"enabled": True, "requestsPerSecond": 1, "burstSize": 2},
            "authentication": {
                "enabled": True,
                "type": "jwt",
                "config": {"issuer": "a", "audience": ["b"], "jwksUri": "https://c"},
            },
            "tls": {"enabled": True, "secretName": "s"},
        },
    ),
    (
        "ModelServer",
        {
            "model": "m",
            "inferenceEngine": "SGLang",
            "workloadSelector": {
                "matchLabels": {"a": "b"},
                "pdGroup": {"groupKey": "a/b", "prefillLabels": {"a": "p"}, "decodeLabels": {"a": "d"}},
            },
            "workloadPort": {"port": 8000, "protocol": "https"},
            "trafficPolicy": {
                "timeout": "10s",
                "retry": {"attempts": 3, "retryInterval": "100ms"},
                "sessionSticky": {"sessionAffinitySeconds": 1, "sources": [{"type": "Header", "name": "a"}]},
            },
            "kvConnector": {"type": "nixl"},
        },
    ),
    (
        "ExternalModelProvider",
        {
            "providerType": "OpenAI",
            "model": "m",
            "baseURL": "https://a/v1",
            "insecureSkipVerify": True,
            "headers": {"a": "b"},
            "auth": {"scheme": "Bearer", "secretRef": {"name": "s", "key": "k", "optional": False}},
        },
    ),
]


def mappings(value: Any) -> list[dict[str, Any]]:
    """All mappings of a tree, its own among them."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    below = [found for item in items for found in mappings(item)]
    return [value, *below] if isinstance(value, dict) else below


def as_json(kind: str, spec: object, version: str = KTHENA) -> str:
    metadata = {"name": "r", "namespace": "ns"}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


@pytest.mark.parametrize(("kind", "spec"), SPECS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_key_that_a_newer_version_may_know_is_an_error_nowhere(kind: str, spec: dict[str, Any]) -> None:
    tree = deepcopy(spec)
    # The keys a and c stand where any key may.
    for mapping in [mapping for mapping in mappings(tree) if not mapping.keys() <= {"a", "c"}]:
        mapping["added"] = "later"
        found = load_texts({"a.json": as_json(kind, tree)}).problems
        assert [str(problem) for problem in found if problem.severity is Severity.ERROR] == []
        assert [problem.path.rpartition(".")[2] for problem in found if problem.code == "PS111"] == ["added"]
        del mapping["added"]


ODD = st.sampled_from(
    [
        "",
        "*",
        "/",
        "r",
        "ns/r",
        "${UNSET}",
        "${SET}",
        "0s",
        "-1",
        "a(",
        "https://",
        "vLLM",
        "\ud7ff",
        "a" * 300,
        "1e999",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | ODD
ANYTHING = st.recursive(
    SCALARS.filter(lambda value: value not in {float("inf"), float("-inf")}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | ODD, inner, max_size=3),
    max_leaves=6,
)


Slot = tuple[Callable[[Any], None], Callable[[], None]]


def slots(value: Any) -> list[Slot]:
    """For every place in a tree, what puts something else there and what takes it away."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    found: list[Slot] = []
    for key in keys:
        found.append((lambda new, key=key: value.__setitem__(key, new), lambda key=key: value.__delitem__(key)))  # type: ignore[misc]
        found.extend(slots(value[key]))
    return found


def changed(resource: dict[str, Any], changes: list[Any], random: Random) -> dict[str, Any]:
    tree = deepcopy(resource)
    for change in changes:
        if places := slots(tree):
            put, take = random.choice(places)
            take() if change == "gone" else put(deepcopy(change))
    return tree


@given(
    st.lists(st.sampled_from(SPECS), min_size=1, max_size=3),
    st.lists(ANYTHING | st.just("gone"), max_size=4),
    st.sampled_from([KTHENA, MATRIXINFER]),
    st.randoms(use_true_random=False),
)
def test_nothing_but_problems_comes_of_whatever_stands_in_resources(
    specs: list[tuple[str, dict[str, Any]]], changes: list[Any], version: str, random: Random
) -> None:
    texts = {
        f"{number}.json": as_json(kind, changed(spec, changes, random), version)
        for number, (kind, spec) in enumerate(specs)
    }
    result = load_texts(texts, {"SET": "a-secret-of-36-characters-or-so"})
    assert (result.config is None) == any(problem.severity is Severity.ERROR for problem in result.problems)
    assert not [problem for problem in result.problems if "a-secret-of" in problem.message]
    assert all(problem.code != "PS100" and problem.message for problem in result.problems)


@given(st.sampled_from(SPECS), ANYTHING)
def test_nothing_but_problems_comes_of_any_spec(resource: tuple[str, dict[str, Any]], spec: Any) -> None:
    load_texts({"a.json": as_json(resource[0], spec)}, {})
