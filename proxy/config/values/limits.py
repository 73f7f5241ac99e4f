"""Readers of how much callers may take: limits on requests and tokens, and the Redis that several hosts share."""

from urllib.parse import urlsplit

from proxy.config.access_spec import UNITS, Counted, Fail, Limit, Redis, Share
from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import alternatives, choice, duration, is_faulty, member, mismatch, one_or_more, positive

COUNTED = tuple(counted.value for counted in Counted)
SCHEMES = ("redis", "rediss", "unix")
_LIMIT, _REDIS = Limit(Counted.REQUESTS, 1.0), Redis("")
_EXPECTED = "a URL such as redis://redis.example:6379/0, rediss://… or unix:///run/redis.sock"


def read_limits(node: Node, problems: Problems) -> tuple[Limit, ...] | None:
    """A list of limits, all of which hold."""
    if not isinstance(node, ListNode):
        mismatch(node, problems, "a list of limits, such as [{requests: 100, per: minute, by: key}]")
        return None
    found = [_read_limit(item, problems) for item in node.items if not is_faulty(item)]
    return tuple(limit for limit in found if limit is not None)


def _read_limit(node: Node, problems: Problems) -> Limit | None:
    fields = fields_of(node, problems, f"a mapping with one of {', '.join(COUNTED)}, and per, burst, by, redis")
    if fields is None:
        return None
    with fields:
        found = _read_amount(fields)
        unit = fields.get("per", choice(UNITS), _LIMIT.unit)
        burst = fields.get("burst", positive)
        by = fields.get("by", one_or_more(member(Share)), _LIMIT.by)
        redis = fields.get("redis", read_redis)
        fields.warn_of_empty(("by", "burst", "redis"))
    if found is None:
        return None
    counted, amount = found
    return Limit(counted, amount, unit, burst, tuple(dict.fromkeys(by)), redis)


def _read_amount(fields: Fields) -> tuple[Counted, float] | None:
    given = [word for word in COUNTED if fields.node_of(word) is not None]
    if len(given) != 1:
        said = " and ".join(given) or "none"
        message = f"expected exactly one of {', '.join(COUNTED)}; found {said}"
        fields.problems.error(fields.place, Code.CONFLICTING_KEYS, message)
        return None
    amount = fields.require(given[0], positive)
    return None if amount is None else (Counted(given[0]), amount)


def read_redis(node: Node, problems: Problems) -> Redis | None:
    """A URL alone, or a mapping with what is to be done while nothing answers there."""
    if not isinstance(node, MappingNode):
        url = _read_url(node, problems)
        return None if url is None else Redis(url)
    with Fields(node, problems) as fields:
        url = fields.require("url", _read_url)
        fail = fields.get("fail", member(Fail), _REDIS.fail)
        timeout = fields.get("timeout", duration, _REDIS.timeout)
    return None if url is None else Redis(url, fail, timeout)


def _read_url(node: Node, problems: Problems) -> str | None:
    """A URL, which is never shown: a password may stand in it."""
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        mismatch(node, problems, _EXPECTED)
        return None
    fault = _url_fault(node.text)
    if fault is None:
        return node.text
    problems.error(node.place, Code.BAD_ADDRESS, f"expected {_EXPECTED}: {fault}")
    return None


def _url_fault(written: str) -> str | None:
    if not written.isascii() or not written.isprintable() or " " in written:
        return "it holds a space, or what must be percent-encoded"
    try:
        parts = urlsplit(written)
        port = parts.port if parts.scheme != "unix" else None
    except ValueError:
        return "its host or port cannot be read"
    if parts.scheme not in SCHEMES or "://" not in written:
        return f"it begins with {alternatives(f'{scheme}://' for scheme in SCHEMES)}"
    if parts.fragment:
        return "a fragment does not belong in it"
    if parts.scheme == "unix":
        return None if parts.path.startswith("/") and len(parts.path) > 1 else "the path of its socket is missing"
    if not parts.hostname or port == 0:
        return "its host is missing" if port != 0 else "a port is from 1 to 65535"
    return None if not parts.path.strip("/") or parts.path[1:].isdigit() else "its path is the number of a database"
