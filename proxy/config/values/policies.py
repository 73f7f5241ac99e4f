"""Readers of the policies that servers and rules share: timeouts, retries, rate limits and upstream TLS."""

from math import ceil

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.spec import RateLimit, Retries, Timeouts, UpstreamTls
from proxy.config.text.nodes import Node, ScalarNode, described
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import (
    boolean,
    duration,
    duration_or_zero,
    existing_file,
    name,
    one_or_more,
    positive,
    whole,
)
from proxy.errors import UpstreamFailure

# Where neither a rule nor its server says anything. A long prompt may wait ten minutes in an engine's queue for its
# first token, so `first_byte` is wide; no `total`, because a limit on the whole would cut healthy streams.
WIDEST_TIMEOUTS = Timeouts(connect=5.0, first_byte=600.0, idle=300.0, total=None)

MOST_RETRIES = 100
_FAILURES = tuple(failure.value for failure in UpstreamFailure)
STATUS_CLASSES = {"4xx": range(400, 500), "5xx": range(500, 600)}


def read_timeouts(node: Node, problems: Problems) -> Timeouts | None:
    """One duration sets `first_byte` and `idle`; a mapping sets each by its name."""
    if isinstance(node, ScalarNode):
        seconds = duration(node, problems)
        return None if seconds is None else Timeouts(first_byte=seconds, idle=seconds)
    fields = fields_of(node, problems, "a duration such as 60s, or a mapping with connect, first_byte, idle, total")
    if fields is None:
        return None
    with fields:
        return Timeouts(
            connect=fields.get("connect", duration),
            first_byte=fields.get("first_byte", duration),
            idle=fields.get("idle", duration),
            total=fields.get("total", duration),
        )


def completed(timeouts: Timeouts, wider: Timeouts = WIDEST_TIMEOUTS) -> Timeouts:
    """These timeouts, and the wider scope's wherever they leave something open."""
    return Timeouts(
        connect=wider.connect if timeouts.connect is None else timeouts.connect,
        first_byte=wider.first_byte if timeouts.first_byte is None else timeouts.first_byte,
        idle=wider.idle if timeouts.idle is None else timeouts.idle,
        total=wider.total if timeouts.total is None else timeouts.total,
    )


def read_retries(node: Node, problems: Problems) -> Retries | None:
    """A number of tries after the first one, or a mapping with attempts, on and backoff."""
    default = Retries()
    attempts = whole(0, MOST_RETRIES)
    if isinstance(node, ScalarNode):
        count = attempts(node, problems)
        return None if count is None else Retries(attempts=count)
    fields = fields_of(node, problems, "a number of retries, or a mapping with attempts, on, backoff")
    if fields is None:
        return None
    with fields:
        causes = fields.get("on", one_or_more(_cause))
        found = frozenset(cause for several in causes or () for cause in several)
        statuses = frozenset(cause for cause in found if isinstance(cause, int))
        failures = frozenset(cause for cause in found if isinstance(cause, str))
        return Retries(
            attempts=fields.get("attempts", attempts, default.attempts),
            failures=default.failures if causes is None else failures,
            statuses=default.statuses if causes is None else statuses,
            backoff=fields.get("backoff", duration_or_zero, default.backoff),
        )


def _cause(node: Node, problems: Problems) -> frozenset[int | str] | None:
    """A status from 400 to 599, all of a class, or the word for a failure."""
    if isinstance(node, ScalarNode):
        if node.text in _FAILURES:
            return frozenset({node.text})
        if node.text in STATUS_CLASSES:
            return frozenset(STATUS_CLASSES[node.text])
        if isinstance(node.value, int) and 400 <= node.value <= 599:
            return frozenset({int(node.value)})
    words = (*_FAILURES, *STATUS_CLASSES)
    near = problems.suggest(node.text, words) if isinstance(node, ScalarNode) and not node.hidden else None
    expected = f"{', '.join(words)} or a status from 400 to 599"
    problems.error(node.place, Code.BAD_VALUE, f"expected {expected}, found {described(node)}", near)
    return None


def read_rate_limit(node: Node, problems: Problems) -> RateLimit | None:
    """Requests per second; the burst is that number, rounded up, unless it is given."""
    fields = fields_of(node, problems, "a mapping with requests_per_second and burst")
    if fields is None:
        return None
    with fields:
        rate = fields.require("requests_per_second", positive)
        burst = fields.get("burst", whole(1, 10_000_000))
    return None if rate is None else RateLimit(rate, ceil(rate) if burst is None else burst)


def read_upstream_tls(node: Node, problems: Problems) -> UpstreamTls | None:
    """How `https://` endpoints are checked and what is shown to them."""
    fields = fields_of(node, problems, "a mapping with ca, cert, key, server_name, verify")
    if fields is None:
        return None
    with fields:
        tls = UpstreamTls(
            ca=fields.get("ca", existing_file),
            cert=fields.get("cert", existing_file),
            key=fields.get("key", existing_file),
            server_name=fields.get("server_name", name),
            verify=fields.get("verify", boolean, default=True),
        )
        together(fields, ("cert", "key"))
    return tls


def together(fields: Fields, names: tuple[str, ...]) -> None:
    """These fields make sense only when all of them are given."""
    missing = [field for field in names if fields.filled(field) is None]
    if missing and len(missing) < len(names):
        message = f"the key {missing[0]!r} is missing: {' and '.join(names)} belong together"
        fields.problems.error(fields.place, Code.MISSING_KEY, message)
