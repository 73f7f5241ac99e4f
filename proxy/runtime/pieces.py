"""A configuration cut into pieces that a worker can read between two requests, and put together again."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from proxy.config.spec import Config, ModelServer, Route, Rule
from proxy.runtime.canary_plan import CanaryWeights, with_weights

# 100 routes of two rules, which weigh about 300, take 1.2 ms to unpickle (AMD EPYC, Python 3.11).
PIECE_WEIGHT = 300

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Part:
    """A route or a server; one that is too heavy for a piece comes in several parts, all but the first `continued`."""

    item: Route | ModelServer
    continued: bool = False


def cut(config: Config) -> Iterator[bytes]:
    """Pickle the servers, then the routes, in pieces of at most `PIECE_WEIGHT`."""
    piece: list[Part] = []
    weight = 0
    for part in _parts(config):
        added = _weigh(part.item)
        if piece and weight + added > PIECE_WEIGHT:
            yield pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)
            piece, weight = [], 0
        piece.append(part)
        weight += added
    if piece:
        yield pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)


class Assembler:
    """Puts the pieces of one configuration together."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._servers: dict[str, ModelServer] = {}
        self._routes: list[Route] = []

    def add(self, piece: bytes) -> None:
        """Read one piece. It comes from the supervisor, over a socket pair that nobody else holds."""
        parts: list[Part] = pickle.loads(piece)  # noqa: S301
        for part in parts:
            if isinstance(part.item, Route):
                self._add_route(part.item, part.continued)
            else:
                self._add_server(part.item, part.continued)

    def config(self, weights: Sequence[CanaryWeights] = ()) -> Config:
        """The whole, once every piece was added, with these weights in place of the pieces' own."""
        routes = with_weights(self._routes, weights) if weights else tuple(self._routes)
        return Config(self._servers, routes, self.version)

    def _add_route(self, route: Route, continued: bool) -> None:
        if continued:
            first = self._routes.pop()
            route = replace(first, rules=first.rules + route.rules)
        self._routes.append(route)

    def _add_server(self, server: ModelServer, continued: bool) -> None:
        if continued:
            first = self._servers[server.name]
            server = replace(first, endpoints=first.endpoints + server.endpoints)
        self._servers[server.name] = server


def _parts(config: Config) -> Iterator[Part]:
    for server in config.servers.values():
        for place, endpoints in enumerate(_slices(server.endpoints)):
            yield Part(replace(server, endpoints=endpoints), continued=place > 0)
    for route in config.routes:
        for place, rules in enumerate(_slices(route.rules)):
            yield Part(replace(route, rules=rules), continued=place > 0)


def _slices(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Cut in slices of a hundred; nothing is one empty slice."""
    for start in range(0, max(len(items), 1), 100):
        yield tuple(items[start : start + 100])


def _weigh(item: Route | ModelServer) -> int:
    if isinstance(item, ModelServer):
        return 1 + len(item.endpoints) + len(item.rewrites)
    return 1 + sum(_weigh_rule(rule) for rule in item.rules)


def _weigh_rule(rule: Rule) -> int:
    return 1 + (len(rule.targets) + len(rule.fallback)) // 4 + sum(len(match.conditions) for match in rule.matches) // 2
