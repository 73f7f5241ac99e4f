"""The limit on LLM tokens that Kthena's ModelRoute sets for a route."""

import re

from proxy.config.access_spec import UNITS
from proxy.config.codes import Code
from proxy.config.kubernetes.values import HIGHEST_PORT
from proxy.config.problems import Problems
from proxy.config.spec import TokenLimit
from proxy.config.text.nodes import Node, ScalarNode, described
from proxy.config.values.fields import fields_of
from proxy.config.values.kinds import choice, whole

_TOKENS = whole(1, 2**32 - 1)
_ADDRESS = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def read_token_limit(node: Node, problems: Problems) -> TokenLimit | None:
    """Tokens in and out for a unit of time."""
    fields = fields_of(node, problems, "a mapping with inputTokensPerUnit, outputTokensPerUnit and unit", strict=False)
    if fields is None:
        return None
    with fields:
        # Until June 2025 the limit on tokens that come in had a shorter name.
        fields.exclusive(("inputTokensPerUnit", "tokensPerUnit"))
        incoming = fields.get("inputTokensPerUnit", _TOKENS)
        older = fields.get("tokensPerUnit", _TOKENS)
        limit = TokenLimit(
            input_tokens=older if incoming is None else incoming,
            output_tokens=fields.get("outputTokensPerUnit", _TOKENS),
            unit=fields.get("unit", choice(UNITS), "second"),
            redis=fields.get("global", _read_global),
        )
        given = [fields.filled(key) for key in ("inputTokensPerUnit", "tokensPerUnit", "outputTokensPerUnit")]
    if not any(given):
        message = "neither inputTokensPerUnit nor outputTokensPerUnit is given, so nothing is limited"
        problems.warning(node.place, Code.WITHOUT_EFFECT, message)
    return limit


def _read_global(node: Node, problems: Problems) -> str | None:
    """The Redis that several hosts share; without it each host limits for itself."""
    fields = fields_of(node, problems, "a mapping with redis", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.get("redis", _read_redis)


def _read_redis(node: Node, problems: Problems) -> str | None:
    fields = fields_of(node, problems, "a mapping with address", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.require("address", _read_address)


def _read_address(node: Node, problems: Problems) -> str | None:
    found = _ADDRESS.fullmatch(node.text) if isinstance(node, ScalarNode) else None
    if found is not None and 0 < int(found[1]) <= HIGHEST_PORT:
        return found[0]
    message = f"expected a host and a port such as redis.example:6379, found {described(node)}"
    problems.error(node.place, Code.BAD_ADDRESS, message)
    return None
