"""What a call takes of its limits before an engine is asked: its caller's and its route's first, then its server's."""

import logging
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from proxy.access.identity import Identity
from proxy.access.limits import Limits, PreparedLimits, SharedGroup
from proxy.access.quota import ScopedLimit, Subject
from proxy.access.ticket import Ticket
from proxy.config.access_spec import Counted, Limit, Redis
from proxy.config.spec import Config, ModelServer, Route, TokenLimit
from proxy.errors import ConfigError, RequestError

LOG = logging.getLogger("penstock.limits")

UNUSABLE = "the limits of this key cannot be kept"
MOST_CALLERS = 50_000
"""Callers whose limits are kept ready, each with those of a route."""


MOST_OTHERS = 1_000
LONGEST_OTHER = 256
"""Names of models that no route gives in full, and their characters."""


class Admission:
    """The limits of one configuration, ready to be asked. It counts nothing itself: buckets live in `Limits`.

    `models` are those that routes name in full. `of_route` and `of_server` hold what has any limit, by its name;
    `active` says that there is any.
    """

    __slots__ = ("_by_caller", "_limits", "_models", "_others", "active", "of_route", "of_server")

    def __init__(self, limits: Limits, models: Iterable[str] = ()) -> None:
        self._models = frozenset(models)
        self._others: set[str] = set()
        self._limits = limits
        self._by_caller: dict[tuple[int, str], tuple[tuple[Limit, ...], PreparedLimits]] = {}
        self.active = False
        self.of_route: dict[str, PreparedLimits] = {}
        self.of_server: dict[str, PreparedLimits] = {}

    def prepare(self, config: Config) -> Generator[None, None, None]:
        """Make the limits of a configuration ready, with a pause after each that has any. Raises ConfigError."""
        for name, server in config.servers.items():
            if scoped := server_limits(name, server):
                self.of_server[name] = self._limits.prepare(scoped)
                yield
        for route in config.routes:
            if scoped := route_limits(route):
                self.of_route[route.name] = self._limits.prepare(scoped)
                yield
        self.active = bool(self.of_server or self.of_route)

    def known_model(self, model: str | None) -> str:
        """By what a limit tells models apart. Of names that no route gives in full, which clients may make up, only so
        many short ones stand for themselves; all others are one.
        """
        if model is None or model in self._models or model in self._others:
            return model or ""
        if len(self._others) >= MOST_OTHERS or len(model) > LONGEST_OTHER:
            return ""
        self._others.add(model)
        return model

    def of_call(self, identity: Identity | None, route: str) -> PreparedLimits | None:
        """The limits of a key and those of a route, the key's first; None where there are none.

        Raises RequestError (503) where those of the key cannot be kept. The limits are found by the object: to
        hash or to compare all that they say costs 2 us.
        """
        if identity is None or not identity.limits:
            return self.of_route.get(route)
        limits = identity.limits
        found = self._by_caller.get((id(limits), route))
        if found is not None and found[0] is limits:
            return found[1]
        if len(self._by_caller) >= MOST_CALLERS:
            self._by_caller.clear()
        scope = f"{identity.method}/{identity.id}"
        try:
            prepared = self._limits.prepare([ScopedLimit(limit, scope, identity.shares[0]) for limit in limits])
        except ConfigError as error:
            LOG.error("the limits of the %s cannot be kept: %s", scope, error)  # noqa: TRY400 - the message says it all
            raise RequestError(503, UNUSABLE, kind="api_error", code="limits_unavailable") from None
        if (of_route := self.of_route.get(route)) is not None:
            prepared = joined(prepared, of_route)
        self._by_caller[id(limits), route] = limits, prepared
        return prepared

    def admit(self, prepared: PreparedLimits, subject: Subject, input_tokens: int) -> Ticket:
        """Take what limits of this host alone ask for: RequestError (429)."""
        return self._limits.admit(prepared, subject, input_tokens)

    async def admit_shared(self, prepared: PreparedLimits, subject: Subject, input_tokens: int) -> Ticket:
        """Take what limits ask for that other hosts share as well: RequestError (429, or 503 where a store is away)."""
        return await self._limits.admit_shared(prepared, subject, input_tokens)


def joined(first: PreparedLimits, second: PreparedLimits) -> PreparedLimits:
    """Both as one, so that a Redis that both are kept in is asked once."""
    groups = {group.redis: group for group in first.shared}
    for group in second.shared:
        before = groups.get(group.redis)
        quotas = group.quotas if before is None else (*before.quotas, *group.quotas)
        groups[group.redis] = SharedGroup(group.redis, quotas, PreparedLimits(quotas))
    return PreparedLimits(
        (*first.local, *second.local), tuple(groups.values()), first.needs_usage or second.needs_usage
    )


def server_limits(name: str, server: ModelServer) -> list[ScopedLimit]:
    """All that a server asks to be kept."""
    scope = f"server/{name}"
    scoped = [ScopedLimit(limit, scope) for limit in server.limits]
    rate = server.rate_limit
    if rate is not None:
        scoped.insert(0, ScopedLimit(Limit(Counted.REQUESTS, rate.requests_per_second, burst=rate.burst), scope))
    return scoped


def route_limits(route: Route) -> list[ScopedLimit]:
    """All that a route asks to be kept."""
    scope = f"route/{route.name}"
    limits: Sequence[Limit] = (*(() if route.token_limit is None else kthena_limits(route.token_limit)), *route.limits)
    return [ScopedLimit(limit, scope) for limit in limits]


def kthena_limits(limit: TokenLimit) -> Iterator[Limit]:
    """Kthena's arithmetic: a bucket that holds one unit's tokens, and an estimate of the prompt that stays one."""
    redis = None if limit.redis is None else Redis(f"redis://{limit.redis}")
    amounts: Mapping[Counted, int | None] = {
        Counted.INPUT_TOKENS: limit.input_tokens,
        Counted.OUTPUT_TOKENS: limit.output_tokens,
    }
    for counted, amount in amounts.items():
        if amount is not None:
            yield Limit(counted, amount, limit.unit, redis=redis, settled=False)
