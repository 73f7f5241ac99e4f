"""A model server as it lives: its endpoints, their connections, its policy and its budget, kept across reloads."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Collection, Mapping

from proxy.balancing.policy import Policy, make_policy
from proxy.config.spec import EndpointSpec, ModelServer, UpstreamTls
from proxy.errors import ConfigError
from proxy.tls import upstream_context
from proxy.upstream.credentials import Field, credential_field
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gate import Gate, bounded
from proxy.upstream.gauge import Gauge, LocalGauges
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.retry import RetryBudget
from proxy.wire.clock import Sweeper

LOG = logging.getLogger("penstock.upstream")


class UpstreamServer:
    """Owns the endpoints of a model server under one spec. A reload makes a new one, which adopts the living state.

    `gate` is there where the server or an endpoint has a bound; endpoints are then taken from it. `credential` is the
    field that its engines are shown, if any; one that could not be read is lacking, and nothing may go there without.
    """

    __slots__ = ("budget", "credential", "endpoints", "gate", "policy", "pools", "spec")

    def __init__(
        self,
        spec: ModelServer,
        pools: Mapping[Endpoint, ConnectionPool],
        policy: Policy,
        budget: RetryBudget,
        gate: Gate | None = None,
        credential: Field | None = None,
    ) -> None:
        self.spec = spec
        self.endpoints = list(pools)
        self.pools = pools
        self.policy = policy
        self.budget = budget
        self.gate = gate
        self.credential = credential

    def __repr__(self) -> str:
        return f"<UpstreamServer {self.spec.name}, {len(self.endpoints)} endpoints>"

    @property
    def lacks_credential(self) -> bool:
        """Whether its engines want to be shown what we do not have."""
        return self.credential is None and self.spec.credential is not None

    def take(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """A lease on the endpoint for the next attempt, one that this request has not tried if there is any.

        None if none serves, or has a place. Whoever gets one calls `give_back` in the same block.
        """
        if self.gate is not None:
            return self.gate.take(tried, self.pools)
        endpoint = self.policy.pick(self.endpoints, tried)
        if endpoint is not None:
            endpoint.in_flight += 1
        return endpoint

    def give_back(self, endpoint: Endpoint) -> None:
        """A lease is over."""
        if self.gate is not None:
            self.gate.release(endpoint)
        else:
            endpoint.in_flight -= 1


class ServerRegistry:
    """Owns the living model servers of a worker, by name.

    `gauges` finds the counts that all workers share, by key, the same one for the same key; left out, the worker is
    alone. `secrets` is the folder of secrets, if there is one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
        gauges: Callable[[str], Gauge] | None = None,
        secrets: str | None = None,
    ) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._gauges: Callable[[str], Gauge] = gauges or LocalGauges()
        self._secrets = secrets
        self._servers: dict[str, UpstreamServer] = {}
        self._unread: dict[str, str] = {}

    @property
    def servers(self) -> Mapping[str, UpstreamServer]:
        """The servers of the last configuration."""
        return self._servers

    @property
    def unread(self) -> Mapping[str, str]:
        """Why credentials could not be read when they were read last, by server."""
        return {name: why for name, why in self._unread.items() if name in self._servers}

    def adopt(self, spec: ModelServer) -> UpstreamServer:
        """The living server for this spec, with the state of the endpoints that stay. Nobody loses anything yet.

        A credential that cannot be read is told in the log, and its requests are refused until it can.
        """
        old = self._servers.get(spec.name)
        if old is None:
            pools, policy = self._pools(spec, {}), make_policy(spec.balance, random.random)
            gate = self._gate(spec, pools, policy, None)
            budget = RetryBudget(spec.retry_budget)
            return UpstreamServer(spec, pools, policy, budget, gate, self._credential(spec, None))
        if old.spec == spec:
            return old
        # A connection made under other TLS terms must not carry another request.
        stay = old.pools if old.spec.tls == spec.tls else {}
        same_policy = old.spec.balance is spec.balance
        policy = old.policy if same_policy else make_policy(spec.balance, random.random)
        same_budget = old.spec.retry_budget == spec.retry_budget
        budget = old.budget if same_budget else RetryBudget(spec.retry_budget)
        pools = self._pools(spec, stay)
        gate = self._gate(spec, pools, policy, old.gate)
        known = old.credential if old.spec.credential == spec.credential else None
        return UpstreamServer(spec, pools, policy, budget, gate, self._credential(spec, known))

    def replace(self, servers: dict[str, UpstreamServer]) -> None:
        """These are the servers now.

        Endpoints that are in none of them any more finish what they have, and no connection to them is kept. Who waits
        at a gate is judged by its new bounds, and sent away where the server has gone.
        """
        for name, old in self._servers.items():
            new = servers.get(name)
            if new is old:
                continue
            for endpoint, pool in old.pools.items():
                if new is None or endpoint not in new.pools:
                    pool.close()
            if old.gate is not None:
                _pass_on(old.gate, new)
        self._servers = servers

    def renew_secrets(self) -> list[str]:
        """Read the certificates and credentials of all servers again; tells what failed, and keeps the old there."""
        failures = []
        for server in self._servers.values():
            if server.spec.credential is not None:
                try:
                    server.credential = credential_field(server.spec.credential, self._secrets)
                    self._unread.pop(server.spec.name, None)
                except ConfigError as error:
                    self._unread[server.spec.name] = str(error)
                    failures.append(str(error))
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
        """Close all idle connections, and let nobody wait any more."""
        for server in self._servers.values():
            if server.gate is not None:
                server.gate.close()
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

    def _gate(
        self, spec: ModelServer, pools: Mapping[Endpoint, ConnectionPool], policy: Policy, old: Gate | None
    ) -> Gate | None:
        """The gate of a spec with bounds: the one that there was, which is told at the swap, or a new one."""
        if not bounded(spec, [endpoint.spec for endpoint in pools]):
            return None
        return old or Gate(spec, pools, policy, gauges=self._gauges, loop=self._loop)

    def _credential(self, spec: ModelServer, known: Field | None) -> Field | None:
        """What its engines are shown; where that cannot be read, what they were shown before."""
        self._unread.pop(spec.name, None)
        if spec.credential is None:
            return None
        try:
            return credential_field(spec.credential, self._secrets)
        except ConfigError as error:
            LOG.error("model server %s: %s", spec.name, error)  # noqa: TRY400 - the message says it all
            self._unread[spec.name] = str(error)
            return known

    def _pool(self, spec: EndpointSpec, context: ssl.SSLContext | None, server_name: str | None) -> ConnectionPool:
        return ConnectionPool(
            spec,
            loop=self._loop,
            sweeper=self._sweeper,
            ssl_context=context if spec.scheme == "https" else None,
            server_name=server_name,
        )


def _pass_on(gate: Gate, server: UpstreamServer | None) -> None:
    """What becomes of a server's gate at a swap. One whose bounds are gone lets all pass that wait."""
    if server is None:
        gate.close()
    else:
        gate.follow(server.spec, server.pools, server.policy)


def serving_endpoints(server: ModelServer) -> tuple[EndpointSpec, ...]:
    """The endpoints that take whole requests: those for decoding where prefill has its own, else all of them."""
    if server.disaggregation is None:
        return server.endpoints
    wanted = set(server.disaggregation.decode_labels)
    decoding = tuple(endpoint for endpoint in server.endpoints if wanted <= set(endpoint.labels))
    return decoding or server.endpoints
