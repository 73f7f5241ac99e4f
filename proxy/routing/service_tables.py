"""The routing tables of model servers' own ports: each knows the servers of its port, by their paths, and no others."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace

from proxy.config.match_spec import Exact, Match, PathCondition, Prefix, ValueTest
from proxy.config.spec import Config, ModelServer, Route, Rule, Target
from proxy.routing.compiler import SLICE, compile_steps
from proxy.routing.table import RoutingTable

_ALL = 3


def service_steps(
    config: Config, previous: Mapping[int, RoutingTable]
) -> Generator[None, None, dict[int, RoutingTable]]:
    """A table for each port, with a pause after each small piece of work. Raises ConfigError like `compile_steps`."""
    tables = {}
    for port, servers in servers_by_port(config).items():
        routes: list[Route] = []
        for route in service_routes(servers):
            routes.append(route)
            if len(routes) % SLICE == 0:
                yield
        tables[port] = yield from compile_steps(replace(config, routes=tuple(routes)), previous.get(port))
    return tables


def servers_by_port(config: Config) -> dict[int, list[ModelServer]]:
    """The servers that have a port of their own, in the files' order."""
    ports: dict[int, list[ModelServer]] = {}
    for server in config.servers.values():
        if server.listener is not None:
            ports.setdefault(server.listener.port, []).append(server)
    return ports


def service_routes(servers: Sequence[ModelServer]) -> Iterator[Route]:
    """A route for each path of each server, the most specific first: exact ones, then prefixes, then other patterns,
    the longer ones first; last who takes everything. Equals stand in the files' order.
    """
    paths = [(test, server) for server in servers for test in _tests(server)]
    paths.sort(key=lambda path: _rank(path[0]))
    return (_route(test, server) for test, server in paths)


def route_name(server: str) -> str:
    """The name of what a server's own path or port serves, in logs and metrics."""
    return f"server/{server}"


def claims(table: RoutingTable, path: str) -> bool:
    """Whether a server says that exactly this path is its own. Not for the hot path: it looks at all routes."""
    own = (Match((PathCondition(Exact(path)),)),)
    return any(rule.matches == own for route in table.routes for rule in route.rules)


def servers_of(table: RoutingTable) -> set[str]:
    """The servers that a table leads to."""
    return {target.server for route in table.routes for rule in route.rules for target in rule.targets}


def _tests(server: ModelServer) -> tuple[ValueTest | None, ...]:
    paths = () if server.listener is None else server.listener.paths
    return paths or (None,)


def _rank(test: ValueTest | None) -> tuple[int, int]:
    match test:
        case None | Prefix("" | "/"):
            return _ALL, 0
        case Exact(value):
            return 0, -len(value)
        case Prefix(value):
            return 1, -len(value)
        case _:
            return 2, -len(str(test))


def _route(test: ValueTest | None, server: ModelServer) -> Route:
    matches = () if test is None else (Match((PathCondition(test),)),)
    rule = Rule("path", (Target(server.name),), matches, origin=server.origin)
    return Route(route_name(server.name), (rule,), kind="ModelServer", origin=server.origin)
