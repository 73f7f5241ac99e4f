"""Readers of what a native rule leads to: servers by name or as mappings, and shadows."""

from proxy.config.assembly import Assembly
from proxy.config.native.parts import HEAVIEST
from proxy.config.problems import Problems
from proxy.config.spec import Shadow, Target, Timeouts
from proxy.config.text.nodes import Node, ScalarNode
from proxy.config.values.fields import fields_of
from proxy.config.values.kinds import Kind, full_name, mismatch, name, size, whole
from proxy.config.values.policies import read_retries, read_timeouts

MOST_SHADOWS = 1_000_000
_SHADOW = Shadow(Target(""))


def target_kind(assembly: Assembly, *, weighted: bool) -> Kind[Target]:
    """A target as its server's name alone, or as a mapping. Fallbacks are taken in order, so they have no weights."""
    keys = "server, weight, model, timeout, retries" if weighted else "server, model, timeout, retries"
    reference = _reference(assembly)

    def read(node: Node, problems: Problems) -> Target | None:
        if isinstance(node, ScalarNode):
            server = reference(node, problems)
            return None if server is None else Target(server)
        fields = fields_of(node, problems, f"a server's name, or a mapping with {keys}")
        if fields is None:
            return None
        with fields:
            server = fields.require("server", reference)
            weight = fields.get("weight", whole(0, HEAVIEST), 1) if weighted else 1
            model = fields.get("model", name)
            timeouts = fields.get("timeout", read_timeouts, Timeouts())
            retries = fields.get("retries", read_retries)
        return None if server is None else Target(server, weight, model, timeouts, retries)

    return read


def shadow_kind(assembly: Assembly) -> Kind[Shadow]:
    """A shadow as its server's name alone, or as a mapping."""
    reference = _reference(assembly)
    keys = "server, model, timeout, max_in_flight, percent, max_body"

    def read(node: Node, problems: Problems) -> Shadow | None:
        if isinstance(node, ScalarNode):
            server = reference(node, problems)
            return None if server is None else Shadow(Target(server))
        fields = fields_of(node, problems, f"a server's name, or a mapping with {keys}")
        if fields is None:
            return None
        with fields:
            server = fields.require("server", reference)
            model = fields.get("model", name)
            timeouts = fields.get("timeout", read_timeouts, Timeouts())
            most = fields.get("max_in_flight", whole(1, MOST_SHADOWS), _SHADOW.max_in_flight)
            percent = fields.get("percent", percentage, _SHADOW.percent)
            max_body = fields.get("max_body", size, _SHADOW.max_body)
        if server is None:
            return None
        return Shadow(Target(server, model=model, timeouts=timeouts), most, percent, max_body)

    return read


def _reference(assembly: Assembly) -> Kind[str]:
    """A server's name, remembered so that it can be followed when all files are read."""

    def read(node: Node, problems: Problems) -> str | None:
        found = full_name(node, problems)
        if found is not None and isinstance(node, ScalarNode):
            assembly.refer_by(node)
        return found

    return read


def percentage(node: Node, problems: Problems) -> float | None:
    """A number from 0 to 100."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100:
        return float(value)
    mismatch(node, problems, "a number from 0 to 100, in per cent")
    return None
