"""The engine: routes requests by a configuration, and tells how well its rules are covered."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from proxy.mixtrain.builder import create_simple_config
from proxy.mixtrain.errors import ConfigurationError
from proxy.mixtrain.models import RoutingConfig, RoutingResult, RoutingRule, RoutingTarget, unchecked
from proxy.mixtrain.plan import Plan
from proxy.mixtrain.strategies import Draw, TargetSelector


class RoutingEngine:
    """Routes requests by a configuration, as it stands at each request.

    Raises ConfigurationError where it has no rules, or two of one name. `draw` gives the numbers from 0 up to 1 that
    splits are decided by; without it they come from the `random` module. Mutable: the plan made of the configuration.
    """

    def __init__(self, config: RoutingConfig, draw: Draw | None = None) -> None:
        _check(config)
        self.config = config
        self._draw = draw
        self._plan: Plan | None = None

    def route_request(self, request_data: object) -> RoutingResult:
        """The rule that takes the request and the targets it goes to. Never raises: a failure is told in the result."""
        started = perf_counter()
        try:
            return self._route(request_data, started)
        except Exception as error:  # noqa: BLE001 - callers are promised a result, whatever they have altered
            return _result(started, f"Routing error: {error}", {"error": str(error)})

    def test_request(self, request_data: object, expected_rule: str | None = None) -> RoutingResult:
        """Like `route_request`, with a note in the result whether the expected rule has matched."""
        result = self.route_request(request_data)
        result.metadata["is_test"] = True
        if not expected_rule:
            return result
        matched = result.matched_rule
        as_expected = matched is not None and matched.name == expected_rule
        result.metadata["expected_rule"] = expected_rule
        result.metadata["matched_expected"] = as_expected
        if not as_expected:
            suffix = ", no rule matched" if matched is None else ""
            result.explanation += f" (expected '{expected_rule}'{suffix})"
        return result

    def get_rule_coverage(self, test_requests: Iterable[object]) -> dict[str, Any]:
        """How often each rule matches among these requests; disabled rules count as uncovered ones."""
        matched = [self.route_request(request).matched_rule for request in test_requests]
        hits = dict.fromkeys([rule.name for rule in self.config.rules], 0)
        for rule in matched:
            if rule is not None:
                hits[rule.name] += 1
        covered = sum(1 for count in hits.values() if count)
        return {
            "total_requests": len(matched),
            "total_rules": len(hits),
            "covered_rules": covered,
            "coverage_percentage": covered / len(hits) * 100 if hits else 0.0,
            "unmatched_requests": matched.count(None),
            "rule_hits": hits,
            "uncovered_rules": [name for name, count in hits.items() if not count],
        }

    def _route(self, data: object, started: float) -> RoutingResult:
        plan = self._plan
        if plan is None or not plan.current(self.config):
            plan = self._plan = Plan(self.config)
        rule = plan.match(data)
        if rule is None:
            return _result(started, "No rules matched the request", {"evaluated_rules": plan.size})
        strategy = rule.strategy
        targets = TargetSelector.select_targets(strategy, rule.targets, data, self._draw)
        metadata = {"evaluated_rules": plan.size, "strategy": strategy, "target_count": len(targets)}
        return _result(started, f"Matched rule '{rule.name}' (priority {rule.priority})", metadata, rule, targets)


class RoutingEngineFactory:
    """Ways to make an engine."""

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> RoutingEngine:
        """An engine of parsed JSON. Raises what RoutingConfig.from_json and RoutingEngine raise."""
        return RoutingEngine(RoutingConfig.from_json(data))

    @staticmethod
    def from_file(path: str | Path) -> RoutingEngine:
        """An engine of a JSON file. Raises OSError or ValueError where it cannot be read, else as `from_json` does."""
        return RoutingEngineFactory.from_json(json.loads(Path(path).read_text(encoding="utf-8")))

    @staticmethod
    def create_simple(name: str, model_endpoint: str) -> RoutingEngine:
        """An engine that sends every request to one endpoint."""
        return RoutingEngine(create_simple_config(name, model_endpoint))


def _check(config: RoutingConfig) -> None:
    if not config.rules:
        raise ConfigurationError("At least one routing rule must be specified")
    if len({rule.name for rule in config.rules}) < len(config.rules):
        raise ConfigurationError("Rule names must be unique")


def _result(
    started: float,
    explanation: str,
    metadata: dict[str, Any],
    rule: RoutingRule | None = None,
    targets: list[RoutingTarget] | None = None,
) -> RoutingResult:
    return unchecked(
        RoutingResult,
        {
            "matched_rule": rule,
            "selected_targets": targets or [],
            "explanation": explanation,
            "execution_time_ms": (perf_counter() - started) * 1000,
            "metadata": metadata,
        },
    )
