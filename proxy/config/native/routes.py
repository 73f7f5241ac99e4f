"""The reader of native routes: which requests they are for, and the ordered rules that say where those go."""

import re

from proxy.config.access_spec import UNITS
from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.joining import LAST
from proxy.config.native.parts import HEAVIEST
from proxy.config.native.rules import read_rules
from proxy.config.native.targets import target_kind
from proxy.config.problems import Problems
from proxy.config.spec import Route, TokenLimit
from proxy.config.text.nodes import ListNode, Node, ScalarNode, described
from proxy.config.values.auth import auth_of
from proxy.config.values.fields import fields_of
from proxy.config.values.kinds import choice, full_name, mismatch, name, one_or_more, whole
from proxy.config.values.limits import read_limits
from proxy.config.values.names import model_name, prose

MOST_TOKENS = 2**53
LAST_WORD = "last"
_ROUTE_DEFAULT = Route("", ())
_TOKEN_LIMIT = TokenLimit(None, None)
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):[0-9]{1,5}")


def read_routes(node: Node, assembly: Assembly) -> None:
    """Add a list of routes to the assembly."""
    if not isinstance(node, ListNode):
        mismatch(node, assembly.problems, "a list of routes")
        return
    for item in node.items:
        before = assembly.problems.errors
        route = _read_route(item, assembly)
        if route is not None:
            assembly.add_route(route, sound=assembly.problems.errors == before)


def _read_route(node: Node, assembly: Assembly) -> Route | None:
    fields = fields_of(node, assembly.problems, "a route: a mapping with name, models and rules")
    if fields is None:
        return None
    default = _ROUTE_DEFAULT
    with fields:
        fields.warn_of_empty(("limits", "token_limit"))
        route_name = fields.require("name", full_name)
        if route_name is not None and isinstance(written := fields.filled("name"), ScalarNode):
            assembly.declare_route(written.text, written.place, hidden=written.hidden)
        return Route(
            name=route_name or "",
            models=_unique(fields.get("models", one_or_more(model_name), ())),
            adapters=_unique(fields.get("adapters", one_or_more(_adapter), ())),
            priority=fields.get("priority", _priority, default.priority),
            rules=read_rules(fields, assembly),
            fallback=fields.get("fallback", one_or_more(target_kind(assembly, weighted=False)), ()),
            token_limit=fields.get("token_limit", _read_token_limit),
            auth=auth_of(fields),
            limits=fields.get("limits", read_limits, ()),
            description=fields.get("description", prose, default.description),
            kind=fields.get("kind", name, default.kind),
            origin=fields.place.origin(),
        )


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _priority(node: Node, problems: Problems) -> int | None:
    """A whole number, or the word for what comes behind all of them."""
    if isinstance(node, ScalarNode) and node.text == LAST_WORD:
        return LAST
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        mismatch(node, problems, f"{LAST_WORD} or a whole number from -{HEAVIEST} to {HEAVIEST}")
        return None
    return whole(-HEAVIEST, HEAVIEST)(node, problems)


def _adapter(node: Node, problems: Problems) -> str | None:
    found = name(node, problems)
    if found is not None and "*" in found:
        problems.error(node.place, Code.BAD_VALUE, "an adapter is named in full; * is for models only")
        return None
    return found


def _read_token_limit(node: Node, problems: Problems) -> TokenLimit | None:
    fields = fields_of(node, problems, "a mapping with input, output, unit, redis")
    if fields is None:
        return None
    tokens = whole(1, MOST_TOKENS)
    with fields:
        limit = TokenLimit(
            input_tokens=fields.get("input", tokens),
            output_tokens=fields.get("output", tokens),
            unit=fields.get("unit", choice(UNITS), _TOKEN_LIMIT.unit),
            redis=fields.get("redis", _host_and_port),
        )
    if fields.filled("input") is None and fields.filled("output") is None:
        message = "neither input nor output is given, so nothing is limited"
        problems.warning(fields.place, Code.WITHOUT_EFFECT, message)
    return limit


def _host_and_port(node: Node, problems: Problems) -> str | None:
    if isinstance(node, ScalarNode) and _HOST_AND_PORT.fullmatch(node.text):
        return node.text
    found = described(node)
    problems.error(node.place, Code.BAD_ADDRESS, f"expected an address such as redis:6379, found {found}")
    return None
