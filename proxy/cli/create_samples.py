"""Configurations to begin with, as native YAML with comments or as Mixtrain's JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from proxy.config.writing.yaml_text import text
from proxy.mixtrain.models import ConditionOperator, RoutingCondition, RoutingConfig, RoutingRule, RoutingTarget


class Sample(StrEnum):
    """What a configuration to begin with is about."""

    SIMPLE = "simple"
    AB_TEST = "ab-test"
    CANARY = "canary"
    FALLBACK = "fallback"
    PREMIUM = "premium"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a sample says of itself, its servers' names in the order of the endpoints, and its rules.

    `open` says that further endpoints make further servers, or join the only one.
    """

    description: str
    servers: tuple[str, ...]
    rules: str
    open: bool = False


_KINDS: Mapping[Sample, Kind] = {
    Sample.SIMPLE: Kind(
        "Every request goes to one server.",
        ("default",),
        """\
      - name: default             # no match: it takes every request
        targets: default
""",
        open=True,
    ),
    Sample.AB_TEST: Kind(
        "Of ten requests nine go to the one server, and one to the other.",
        ("control", "variant"),
        """\
      - name: ab-test             # no match: it takes every request
        targets:                  # exact shares, evenly interleaved
          - {server: control, weight: 90}
          - {server: variant, weight: 10}
""",
    ),
    Sample.CANARY: Kind(
        "A new server gets those who ask for it, and a small part of all others.",
        ("stable", "canary"),
        """\
      - name: insiders            # rules are tried in order, the first one that holds decides
        match: {headers: {x-canary: "true"}}
        targets: canary
        fallback: stable
      - name: everyone            # no match: it takes all that is left
        targets:                  # raise the canary's weight step by step
          - {server: stable, weight: 95}
          - {server: canary, weight: 5}
        fallback: stable          # asked where the canary has no answer
""",
    ),
    Sample.FALLBACK: Kind(
        "Where a server has no answer, the next one is asked.",
        ("primary", "backup"),
        """\
      - name: default             # no match: it takes every request
        targets: primary
        fallback: {others}
        timeout: {{connect: 2s, first_byte: 60s, idle: 60s}}
        retries: 1                # tries after the first one, at each server
""",
        open=True,
    ),
    Sample.PREMIUM: Kind(
        "Premium users have a server of their own.",
        ("premium", "standard"),
        """\
      - name: premium             # rules are tried in order, the first one that holds decides
        match: {headers: {user-type: premium}}
        targets: premium
        fallback: standard        # asked where the first one has no answer
      - name: default             # no match: it takes all that is left
        targets: standard
""",
    ),
}

FIRST_PORT = 9001


def most_endpoints(sample: Sample) -> int | None:
    """How many endpoints a sample has a use for; None is any number."""
    kind = _KINDS[sample]
    return None if kind.open else len(kind.servers)


def servers_of(sample: Sample, endpoints: Sequence[str]) -> dict[str, list[str]]:
    """The endpoints of each server: the given ones in their order, then some of this machine."""
    kind = _KINDS[sample]
    names = list(kind.servers)
    if len(names) == 1:
        return {names[0]: list(endpoints) or [_local(0)]}
    names += [f"{names[-1]}-{number}" for number in range(2, len(endpoints) - len(names) + 2)]
    return {name: [endpoints[place] if place < len(endpoints) else _local(place)] for place, name in enumerate(names)}


def _local(place: int) -> str:
    return f"http://127.0.0.1:{FIRST_PORT + place}"


# --- native -----------------------------------------------------------------------------------------------------------


def native_sample(name: str, sample: Sample, endpoints: Sequence[str]) -> str:
    """A route file."""
    kind = _KINDS[sample]
    servers = servers_of(sample, endpoints)
    rules = kind.rules
    if sample is Sample.FALLBACK:
        rules = rules.format(others=f"[{', '.join(list(servers)[1:])}]")
    lines = [
        f"# {kind.description}",
        "# `penstock validate` checks this file, `penstock test` tells where a request goes.",
        "",
        "servers:                          # groups of alike endpoints",
    ]
    for place, (server, urls) in enumerate(servers.items()):
        lines += _server_lines(server, urls, first=place == 0)
    lines += ["", "routes:", f"  - name: {text(name).spelled}"]
    lines.append('    # models: [qwen, "qwen-*"]    # without it, the route is for requests of any model')
    lines.append("    rules:")
    return "\n".join(lines) + "\n" + rules


def _server_lines(name: str, urls: Sequence[str], *, first: bool) -> list[str]:
    remark = " " * 20 + "# more of them share the load" if first else ""
    engine = "    engine: vllm                  # vllm, sglang or openai" if first else "    engine: vllm"
    spelled = [text(url).spelled for url in urls]
    return [f"  {name}:", engine, f"    endpoints:{remark}", *(f"      - {url}" for url in spelled)]


# --- Mixtrain ---------------------------------------------------------------------------------------------------------


def mixtrain_sample(name: str, sample: Sample, endpoints: Sequence[str]) -> str:
    """A configuration of Mixtrain's, as JSON."""
    urls = [url for found in servers_of(sample, endpoints).values() for url in found]
    names = [server for server, found in servers_of(sample, endpoints).items() for _ in found]
    targets = [
        RoutingTarget(provider="custom", model_name=server, endpoint=url)
        for server, url in zip(names, urls, strict=True)
    ]
    config = RoutingConfig(name=name, description=_KINDS[sample].description, rules=_RULES[sample](targets))
    return json_text(config)


def json_text(config: RoutingConfig) -> str:
    """A configuration of Mixtrain's as a file holds it."""
    return json.dumps(config.to_json(), indent=2, ensure_ascii=False) + "\n"


def _weighted(target: RoutingTarget, weight: float) -> RoutingTarget:
    return target.model_copy(update={"weight": weight})


def _simple(targets: list[RoutingTarget]) -> list[RoutingRule]:
    return [_rule("default", "Route all requests to default endpoint", targets[:1])]


def _ab_test(targets: list[RoutingTarget]) -> list[RoutingRule]:
    control, variant = targets
    shared = [_weighted(control, 0.9), _weighted(variant, 0.1)]
    return [_rule("ab-test", "A/B test: 10.0% to variant", shared, strategy="split")]


def _canary(targets: list[RoutingTarget]) -> list[RoutingRule]:
    stable, canary = targets
    asked = RoutingCondition(field="request.headers.x-canary", operator=ConditionOperator.EQUALS, value="true")
    shared = [_weighted(stable, 0.95), _weighted(canary, 0.05)]
    return [
        _rule("insiders", "Those who ask for it", [canary], priority=100, conditions=[asked]),
        _rule("everyone", "A small part of all others", shared, strategy="split"),
    ]


def _fallback(targets: list[RoutingTarget]) -> list[RoutingRule]:
    return [_rule("default", "Each is asked where the one before it has no answer", targets, strategy="fallback")]


def _premium(targets: list[RoutingTarget]) -> list[RoutingRule]:
    premium, standard = targets
    tier = RoutingCondition(field="user.tier", operator=ConditionOperator.EQUALS, value="premium")
    return [
        _rule("premium", "Premium users", [premium], priority=100, conditions=[tier]),
        _rule("default", "Everybody else", [standard]),
    ]


def _rule(name: str, description: str, targets: list[RoutingTarget], **more: object) -> RoutingRule:
    return RoutingRule.model_validate({"name": name, "description": description, "targets": targets, **more})


_RULES: Mapping[Sample, Callable[[list[RoutingTarget]], list[RoutingRule]]] = {
    Sample.SIMPLE: _simple,
    Sample.AB_TEST: _ab_test,
    Sample.CANARY: _canary,
    Sample.FALLBACK: _fallback,
    Sample.PREMIUM: _premium,
}
