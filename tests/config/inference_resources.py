"""Documents of the inference extension for tests, as data, and what becomes of them."""

import json
from collections.abc import Mapping
from typing import Any

from proxy.config.loader import LoadResult, load_texts
from proxy.config.spec import Config, ModelServer, Route
from proxy.errors import Problem, Severity

REWRITES = "llm-d.ai/v1alpha2"
POOLS = "inference.networking.k8s.io/v1"
ROUTES = "gateway.networking.k8s.io/v1"

Document = dict[str, Any]


def resource(version: str, kind: str, name: str, spec: object, **metadata: object) -> Document:
    """A resource; `created` is its creationTimestamp."""
    created = metadata.pop("created", None)
    said = {"name": name, **({"creationTimestamp": created} if created else {}), **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": said, "spec": spec}


def pool(name: str = "p", select: Mapping[str, str] | None = None, **metadata: object) -> Document:
    """A pool on port 8000, of the endpoints whose label `app` is its name."""
    spec = {"selector": {"matchLabels": dict(select or {"app": name})}, "targetPorts": [{"number": 8000}]}
    return resource(POOLS, "InferencePool", name, spec, **metadata)


def rule(*models: str, to: str = "target", **weighted: int) -> Document:
    """A rule for these models (if none: a generic one), to one target or to several with weights."""
    targets = [{"modelRewrite": model, "weight": weight} for model, weight in weighted.items()]
    matches = [{"model": {"type": "Exact", "value": model}} for model in models]
    return {"matches": matches, "targets": targets or [{"modelRewrite": to}]}


def rewrite(name: str, *rules: object, to: str = "p", **metadata: object) -> Document:
    """A resource with rules for the pool of this name."""
    return resource(
        REWRITES, "InferenceModelRewrite", name, {"poolRef": {"name": to}, "rules": list(rules)}, **metadata
    )


def objective(name: str, priority: int | None, to: str = "p", **metadata: object) -> Document:
    """A named priority for the pool of this name."""
    spec = {"poolRef": {"name": to}, "priority": priority}
    return resource(REWRITES, "InferenceObjective", name, spec, **metadata)


def backend(name: str = "p", **fields: object) -> Document:
    """A reference of an HTTPRoute to a pool."""
    return {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": name, **fields}


def http_route(*rules: object, name: str = "r", **fields: object) -> Document:
    """An HTTPRoute with these rules."""
    return resource(ROUTES, "HTTPRoute", name, {"rules": list(rules), **fields})


def endpoint(host: str = "10.0.0.1", **labels: str) -> Document:
    """An entry of the inventory."""
    return {"address": host, "labels": labels}


def load(*documents: object, **variables: str) -> LoadResult:
    """What comes of these documents, each of which is a file (0.json, 1.json, …)."""
    return load_texts({f"{number}.json": json.dumps(one) for number, one in enumerate(documents)}, variables)


def config(*documents: object) -> Config:
    """The configuration that these documents make."""
    result = load(*documents)
    assert result.config is not None, result.problems
    return result.config


def problems(*documents: object, **variables: str) -> list[Problem]:
    """What is told of them, except that they refer to nothing, find nothing or lead nowhere."""
    alone = {"PS107", "PS131", "PS132", "PS135"}
    return [problem for problem in load(*documents, **variables).problems if problem.code not in alone]


def only_problem(*documents: object, **variables: str) -> Problem:
    """The one thing that is told of them."""
    (problem,) = problems(*documents, **variables)
    return problem


def errors(*documents: object) -> list[str]:
    """The paths of the errors in them."""
    return [problem.path for problem in problems(*documents) if problem.severity is Severity.ERROR]


def server(*documents: object, name: str = "pool/default/p") -> ModelServer:
    """The server of this name."""
    return config(*documents).servers[name]


def routes(*documents: object) -> dict[str, Route]:
    """The routes by name."""
    return {route.name: route for route in config(*documents).routes}
