"""The worker's side of model servers' own ports: which are open, the certificates they show, what they answer alone."""

from collections.abc import Sequence

from proxy.config.settings_spec import Listener, Settings
from proxy.downstream.server import DownstreamServer
from proxy.errors import RequestError
from proxy.forwarding.facts import Facts
from proxy.forwarding.snapshot import Snapshot
from proxy.routing.service_tables import claims, servers_of
from proxy.routing.table import RouteMatch
from proxy.runtime.service_plan import ServiceFailure, ServicePort, secret_pair, service_hosts
from proxy.runtime.sockets import BindError, bind, close_all
from proxy.tls import Certificates

LOCAL_PATHS = frozenset({b"/health", b"/ready", b"/metrics"})

_OK = b'{"status":"ok"}'
_DRAINING = b'{"status":"draining"}'
_NO_ENDPOINT = b'{"status":"no endpoint"}'


class Doors:
    """Owns the open ports of a worker with their certificates (None: plain HTTP).

    Each worker binds sockets of its own, over which the kernel spreads connections (SO_REUSEPORT).
    """

    def __init__(self, server: DownstreamServer, settings: Settings) -> None:
        self._server = server
        self._secrets = settings.secrets
        self._hosts = service_hosts(settings)
        self._open: dict[int, Certificates | None] = {}

    async def set(self, ports: Sequence[ServicePort]) -> list[ServiceFailure]:
        """Have these ports open and no others, with their certificates as they are on disk now. Tells what failed.

        New ones open before old ones close. One that turns to TLS, or away from it, closes and opens again.
        """
        if self._server.draining:
            return []
        failures: list[ServiceFailure] = []
        for port in ports:
            failures += await self._set(port)
        for gone in self._open.keys() - {port.port for port in ports}:
            self._close(gone)
        return failures

    async def _set(self, port: ServicePort) -> list[ServiceFailure]:
        if port.port in self._open and (self._open[port.port] is not None) != port.secure:
            self._close(port.port)
        certificates = self._open.get(port.port, Certificates() if port.secure else None)
        failures = [] if certificates is None else self._renew(port, certificates)
        if certificates is not None and not certificates:
            if port.port in self._open:
                self._close(port.port)
            return [*failures, ServiceFailure(port.port, "no certificate can be shown")]
        if port.port in self._open:
            return failures
        try:
            await self._listen(port.port, certificates)
        except BindError as error:
            failures.append(ServiceFailure(port.port, str(error)))
        return failures

    def _renew(self, port: ServicePort, certificates: Certificates) -> list[ServiceFailure]:
        pairs = {secret: pair for secret in port.secrets if (pair := secret_pair(self._secrets, secret)) is not None}
        told = {secret: str(error) for secret, error in certificates.renew(pairs).items()}
        if self._secrets is None:
            told = dict.fromkeys(port.secrets, "the settings name no secrets folder")
        return [
            ServiceFailure(port.port, message, secret, kept=secret in certificates) for secret, message in told.items()
        ]

    async def _listen(self, port: int, certificates: Certificates | None) -> None:
        """Raises BindError, and leaves nothing open then."""
        sockets = []
        try:
            for host in self._hosts:
                sockets.append(bind(Listener(host, port)))  # noqa: PERF401 - those before one that fails are closed
            context = None if certificates is None else certificates.context
            await self._server.open_service(port, sockets, context)
        except (BindError, OSError) as error:
            self._server.close_service(port)
            close_all([sockets])
            raise error if isinstance(error, BindError) else BindError(f"cannot listen on port {port}") from error
        self._open[port] = certificates

    def _close(self, port: int) -> None:
        del self._open[port]
        self._server.close_service(port)


def health_answer(path: bytes, snapshot: Snapshot | None, *, draining: bool) -> tuple[int, bytes]:
    """The status and the body of `/health` or `/ready` at the settings' own listeners."""
    if path == b"/ready" and (draining or snapshot is None):
        return 503, _DRAINING
    return 200, _OK


def local_answer(path: bytes, service: int, snapshot: Snapshot | None, *, draining: bool) -> tuple[int, bytes]:
    """The status and the body of `/health` or `/ready` at a port of its own.

    It is ready while it is served and one of its servers has an endpoint.
    """
    if path == b"/health":
        return 200, _OK
    table = None if snapshot is None else snapshot.services.get(service)
    if draining or snapshot is None or table is None:
        return 503, _DRAINING
    served = any(snapshot.servers[name].endpoints for name in servers_of(table))
    return (200, _OK) if served else (503, _NO_ENDPOINT)


def is_local(path: bytes, service: int, snapshot: Snapshot | None) -> bool:
    """Whether a port answers a path itself: one of a few, unless a server there says that exactly this path is its."""
    if path not in LOCAL_PATHS:
        return False
    table = None if snapshot is None else snapshot.services.get(service)
    return table is None or not claims(table, path.decode("ascii"))


def service_match(service: int, facts: Facts, snapshot: Snapshot) -> RouteMatch:
    """Where a port leads a request. Raises RequestError where none of its servers has that path."""
    table = snapshot.services.get(service)
    match = None if table is None else table.lookup(facts)
    if match is None:
        message = f"route not found: no model server of this port serves {facts.path[:200]!r}"
        raise RequestError(404, message, code="no_route", close=table is None)  # a port that is closing has no table
    return match
