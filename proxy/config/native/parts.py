"""Readers of what a native server may have beside endpoints and policies: rewrites, selection, access."""

import re

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.spec import (
    Credential,
    Disaggregation,
    JwtAuth,
    Objective,
    Rewrite,
    RewriteTarget,
    Selector,
    ServiceListener,
)
from proxy.config.text.nodes import MappingNode, Node, ScalarNode, quoted
from proxy.config.values.fields import fields_of
from proxy.config.values.kinds import choice, full_name, mismatch, name, one_or_more, text, text_map, whole
from proxy.config.values.names import model_name

SCHEMES = ("http", "https")
CONNECTORS = ("http", "lmcache", "nixl", "mooncake", "sglang")
CREDENTIAL_SCHEMES = ("Bearer", "APIKey")
HEAVIEST = 1_000_000
LOWEST_PRIORITY, HIGHEST_PRIORITY = -(2**31), 2**31 - 1

# Its parts become folders of the secrets directory.
_SECRET = re.compile(r"(?:(?!\.\.?(?:/|\Z))[^/]+/)+(?!\.\.?\Z)[^/]+")


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


def read_auth(node: Node, problems: Problems) -> JwtAuth | None:
    """What callers have to show."""
    fields = fields_of(node, problems, "a mapping with jwt")
    if fields is None:
        return None
    with fields:
        return fields.require("jwt", _read_jwt)


def _read_jwt(node: Node, problems: Problems) -> JwtAuth | None:
    fields = fields_of(node, problems, "a mapping with issuer, audience, jwks")
    if fields is None:
        return None
    with fields:
        return JwtAuth(
            issuer=fields.get("issuer", text),
            audiences=fields.get("audience", one_or_more(text), ()),
            jwks=fields.get("jwks", text),
        )


def read_listener(node: Node, problems: Problems) -> ServiceListener | None:
    """The port that a server's own service listens on."""
    fields = fields_of(node, problems, "a mapping with port and tls_secret")
    if fields is None:
        return None
    with fields:
        number = fields.require("port", port)
        secret = fields.get("tls_secret", secret_name)
    return None if number is None else ServiceListener(number, secret)


def read_credential(node: Node, problems: Problems) -> Credential | None:
    """What the proxy shows to the engines."""
    fields = fields_of(node, problems, "a mapping with secret, key, scheme")
    if fields is None:
        return None
    with fields:
        secret = fields.require("secret", secret_name)
        key = fields.require("key", name)
        scheme = fields.get("scheme", choice(CREDENTIAL_SCHEMES), CREDENTIAL_SCHEMES[0])
    return None if secret is None or key is None else Credential(secret, key, scheme)


def secret_name(node: Node, problems: Problems) -> str | None:
    """A secret as "namespace/name"."""
    found = full_name(node, problems)
    if found is None or not isinstance(node, ScalarNode) or _SECRET.fullmatch(found):
        return found
    message = f"{quoted(node)} is no secret: write its namespace and its name, as in default/engine-key"
    problems.error(node.place, Code.BAD_VALUE, message)
    return None
