"""Readers of what a native server may have beside endpoints and policies: rewrites, selection, prefill and decode."""

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.spec import (
    Disaggregation,
    Objective,
    Rewrite,
    RewriteTarget,
    Selector,
)
from proxy.config.text.nodes import MappingNode, Node, ScalarNode
from proxy.config.values.fields import fields_of
from proxy.config.values.kinds import choice, mismatch, name, one_or_more, text_map, whole
from proxy.config.values.names import model_name

SCHEMES = ("http", "https")
CONNECTORS = ("http", "lmcache", "nixl", "mooncake", "sglang")
HEAVIEST = 1_000_000
LOWEST_PRIORITY, HIGHEST_PRIORITY = -(2**31), 2**31 - 1


def read_rewrite(node: Node, problems: Problems) -> Rewrite | None:
    """What is sent in place of some models' names, or of every name without `models`."""
    fields = fields_of(node, problems, "a mapping with models and targets")
    if fields is None:
        return None
    with fields:
        rewrite = Rewrite(
            name=fields.get("name", name, ""),
            models=fields.get("models", one_or_more(model_name), ()),
            targets=fields.require("targets", one_or_more(_read_rewrite_target)) or (),
            origin=fields.place.origin(),
        )
        targets = fields.filled("targets")
        if targets is not None and not any(target.weight for target in rewrite.targets):
            fault = "all weights are 0, so no target could ever be chosen" if rewrite.targets else "at least one target"
            problems.error(targets.place, Code.NO_WEIGHT, fault)
    return rewrite


def _read_rewrite_target(node: Node, problems: Problems) -> RewriteTarget | None:
    if isinstance(node, ScalarNode):
        model = model_name(node, problems)
        return None if model is None else RewriteTarget(model)
    fields = fields_of(node, problems, "a model's name, or a mapping with model and weight")
    if fields is None:
        return None
    with fields:
        model = fields.require("model", model_name)
        weight = fields.get("weight", whole(0, HEAVIEST), 1)
    return None if model is None else RewriteTarget(model, weight)


def read_objectives(node: Node, problems: Problems) -> tuple[Objective, ...] | None:
    """Priorities by name."""
    if not isinstance(node, MappingNode):
        mismatch(node, problems, "a mapping of names to priorities")
        return None
    found: list[Objective] = []
    for key, item in node.entries.items():
        place = node.key_place(key)
        priority = whole(LOWEST_PRIORITY, HIGHEST_PRIORITY)(item, problems)
        if name(ScalarNode(place, key, key), problems) is not None and priority is not None:
            found.append(Objective(key, priority))
    return tuple(found)


def read_selector(node: Node, problems: Problems) -> Selector | None:
    """Which entries of the inventory are endpoints of the server."""
    fields = fields_of(node, problems, "a mapping with labels or workload, and namespace, ports, scheme")
    if fields is None:
        return None
    default = Selector()
    with fields:
        selector = Selector(
            namespace=fields.get("namespace", name, default.namespace),
            labels=fields.get("labels", text_map, ()),
            workload=fields.get("workload", name),
            ports=fields.get("ports", one_or_more(port), ()),
            scheme=fields.get("scheme", choice(SCHEMES), default.scheme),
        )
        # Empty labels choose everything in the namespace; that has to be said.
        if fields.filled("labels") is None and fields.filled("workload") is None:
            problems.error(fields.place, Code.MISSING_KEY, "select needs labels or a workload")
    return selector


def port(node: Node, problems: Problems) -> int | None:
    """A port's number."""
    return whole(1, 65_535)(node, problems)


def read_disaggregation(node: Node, problems: Problems) -> Disaggregation | None:
    """How endpoints for prefill and decode are told apart, and which of them belong together."""
    fields = fields_of(node, problems, "a mapping with group, prefill, decode, connector")
    if fields is None:
        return None
    with fields:
        group = fields.require("group", name)
        prefill = fields.require("prefill", _read_side)
        decode = fields.require("decode", _read_side)
        connector = fields.get("connector", choice(CONNECTORS))
    if group is None or prefill is None or decode is None:
        return None
    return Disaggregation(group, prefill, decode, connector)


def _read_side(node: Node, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    fields = fields_of(node, problems, "a mapping with labels")
    if fields is None:
        return None
    with fields:
        labels = fields.require("labels", text_map)
        written = fields.filled("labels")
        if labels == () and written is not None:
            mismatch(written, problems, "at least one label")
    return labels or None
