"""A model server as it lives: its endpoints, their connections, its policy and its budget, kept across reloads."""

import asyncio
import random
import ssl
from collections.abc import Collection, Mapping

from proxy.balancing.policy import Policy, make_policy
from proxy.config.spec import EndpointSpec, ModelServer, UpstreamTls
from proxy.errors import ConfigError
from proxy.tls import upstream_context
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.retry import RetryBudget
from proxy.wire.clock import Sweeper


class UpstreamServer:
    """Owns the endpoints of a model server under one spec. A reload makes a new one, which adopts the living state."""

    __slots__ = ("budget", "endpoints", "policy", "pools", "spec")

    def __init__(
        self, spec: ModelServer, pools: Mapping[Endpoint, ConnectionPool], policy: Policy, budget: RetryBudget
    ) -> None:
        self.spec = spec
        self.endpoints = list(pools)
        self.pools = pools
        self.policy = policy
        self.budget = budget

    def __repr__(self) -> str:
        return f"<UpstreamServer {self.spec.name}, {len(self.endpoints)} endpoints>"

    def pick(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint for the next attempt, if there is one that this request has not tried; None if none serves."""
        return self.policy.pick(self.endpoints, tried)


class ServerRegistry:
    """Owns the living model servers of a worker, by name."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._servers: dict[str, UpstreamServer] = {}

    @property
    def servers(self) -> Mapping[str, UpstreamServer]:
        """The servers of the last configuration."""
        return self._servers

    def adopt(self, spec: ModelServer) -> UpstreamServer:
        """The living server for this spec, with the state of the endpoints that stay. Nobody loses anything yet."""
        old = self._servers.get(spec.name)
        if old is None:
            pools = self._pools(spec, {})
            return UpstreamServer(spec, pools, make_policy(spec.balance, random.random), RetryBudget(spec.retry_budget))
        if old.spec == spec:
            return old
        # A connection made under other TLS terms must not carry another request.
        stay = old.pools if old.spec.tls == spec.tls else {}
        same_policy = old.spec.balance is spec.balance
        policy = old.policy if same_policy else make_policy(spec.balance, random.random)
        same_budget = old.spec.retry_budget == spec.retry_budget
        budget = old.budget if same_budget else RetryBudget(spec.retry_budget)
        return UpstreamServer(spec, self._pools(spec, stay), policy, budget)

    def replace(self, servers: dict[str, UpstreamServer]) -> None:
        """These are the servers now.

        Endpoints that are in none of them any more finish what they have, and no connection to them is kept.
        """
        for name, old in self._servers.items():
            new = servers.get(name)
            if new is old:
                continue
            for endpoint, pool in old.pools.items():
                if new is None or endpoint not in new.pools:
                    pool.close()
        self._servers = servers

    def renew_certificates(self) -> list[str]:
        """Read the certificate files of all servers again; tells what failed, and goes on with the old ones there."""
        failures = []
        for server in self._servers.values():
            secure = [pool for endpoint, pool in server.pools.items() if endpoint.spec.scheme == "https"]
            if server.spec.tls is None or not secure:
                continue
            try:
                context = upstream_context(server.spec.tls)
            except ConfigError as error:
                failures.append(str(error))
                continue
            for pool in secure:
                pool.renew(context)
        return failures

    def close(self) -> None:
        """Close all idle connections."""
        for server in self._servers.values():
            for pool in server.pools.values():
                pool.close()

    def _pools(self, server: ModelServer, stay: Mapping[Endpoint, ConnectionPool]) -> dict[Endpoint, ConnectionPool]:
        """The endpoints of a spec with their pools: those that stay as they live, the others new."""
        known = {endpoint.address: (endpoint, pool) for endpoint, pool in stay.items()}
        tls = server.tls or UpstreamTls()
        secure = any(spec.scheme == "https" for spec in serving_endpoints(server))
        context = upstream_context(tls) if secure else None
        pools = {}
        for spec in serving_endpoints(server):
            if spec.address in known:
                endpoint, pool = known[spec.address]
                endpoint.adopt(spec)
            else:
                endpoint, pool = Endpoint(server.name, spec), self._pool(spec, context, tls.server_name)
            pools[endpoint] = pool
        return pools

    def _pool(self, spec: EndpointSpec, context: ssl.SSLContext | None, server_name: str | None) -> ConnectionPool:
        return ConnectionPool(
            spec,
            loop=self._loop,
            sweeper=self._sweeper,
            ssl_context=context if spec.scheme == "https" else None,
            server_name=server_name,
        )


def serving_endpoints(server: ModelServer) -> tuple[EndpointSpec, ...]:
    """The endpoints that take whole requests: those for decoding where prefill has its own, else all of them."""
    if server.disaggregation is None:
        return server.endpoints
    wanted = set(server.disaggregation.decode_labels)
    decoding = tuple(endpoint for endpoint in server.endpoints if wanted <= set(endpoint.labels))
    return decoding or server.endpoints
