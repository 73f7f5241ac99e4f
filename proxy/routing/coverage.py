"""Which rules a set of requests reaches, and which it leaves out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.config.spec import Route
from proxy.routing.compiler import FALLBACK
from proxy.routing.log_lines import asks_for_more, is_at
from proxy.routing.recording import Lookups, Recorded, Recording
from proxy.routing.sample import summary
from proxy.routing.table import RouteMatch, RoutingTable

MOST_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class RuleHits:
    """A rule, and how many requests it takes. A rule that is turned off takes none."""

    route: str
    rule: str
    hits: int
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """A request in words, and the line on which it stands."""

    line: int
    request: str


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What is to be known of requests that came from an access log.

    `lines` of it were read. `differing` ones name another rule than the one that takes them now: a log holds no
    headers, query strings and bodies, so that conditions on those cannot be judged. `unjudged` are the rules with such
    conditions. `left_out` are lines about which no route was asked, `unreadable` ones are cut or none of a log's.
    """

    lines: int
    differing: int
    left_out: int
    unreadable: int
    unjudged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often each rule, in the order of the configuration, takes one of the requests. `examples` are the first ones
    that no rule takes. `log` is None where no request came from an access log."""

    rules: tuple[RuleHits, ...]
    total_requests: int
    unmatched_requests: int
    examples: tuple[Example, ...] = ()
    log: LogFacts | None = None

    @property
    def total_rules(self) -> int:
        """All of them, also those that are turned off."""
        return len(self.rules)

    @property
    def covered_rules(self) -> int:
        """Those that take at least one request."""
        return sum(rule.hits > 0 for rule in self.rules)

    @property
    def percentage(self) -> float:
        """How many rules of a hundred are covered; 0 where there is none."""
        return 100 * self.covered_rules / len(self.rules) if self.rules else 0.0

    @property
    def uncovered(self) -> tuple[RuleHits, ...]:
        """The rules that take none of the requests."""
        return tuple(rule for rule in self.rules if not rule.hits)

    def named(self) -> dict[str, RuleHits]:
        """The rules by name; with their routes' before it, where there is more than one route."""
        single = len({rule.route for rule in self.rules}) == 1
        return {rule.rule if single else f"{rule.route}/{rule.rule}": rule for rule in self.rules}


def measure_coverage(table: RoutingTable, requests: Iterable[Recorded]) -> Coverage:
    """Route each request as `table.lookup` does, and count. No split moves on, and no request is held."""
    count = _Count(Lookups(table))
    for recorded in requests:
        count.add(recorded)
    rules = tuple(
        RuleHits(route, rule, count.hits[route, rule], enabled) for route, rule, enabled in _rules(table.routes)
    )
    unjudged = tuple(
        f"{route.name}/{rule.name}" for route in table.routes for rule in route.rules if asks_for_more(rule)
    )
    log = None
    if isinstance(requests, Recording) and requests.logged:
        log = LogFacts(requests.logged, count.differing, requests.left_out, requests.unreadable, unjudged)
    return Coverage(rules, count.total, count.unmatched, tuple(count.examples), log)


class _Count:
    """Owns the numbers while requests go by."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self.total = 0
        self.unmatched = 0
        self.differing = 0
        self.hits: Counter[tuple[str, str]] = Counter()
        self.examples: list[Example] = []

    def add(self, recorded: Recorded) -> None:
        """Count one request."""
        self.total += 1
        match = self._lookups(recorded)
        if match is not None:
            self.hits[match.route, match.rule] += 1
        else:
            self.unmatched += 1
            if len(self.examples) < MOST_EXAMPLES:
                self.examples.append(Example(recorded.line, summary(recorded.request)))
        self.differing += recorded.logged is not None and not agrees(recorded.logged, match)


def agrees(logged: str, match: RouteMatch | None) -> bool:
    """Whether a log's word is what the table says."""
    return not logged if match is None else is_at(logged, match.route, match.rule)


def _rules(routes: Iterable[Route]) -> dict[tuple[str, str, bool], None]:
    """Each rule once, a route's own fallback as one of them."""
    found: dict[tuple[str, str, bool], None] = {}
    for route in routes:
        found.update(dict.fromkeys((route.name, rule.name, rule.enabled) for rule in route.rules))
        if route.fallback:
            found[route.name, FALLBACK, True] = None
    return found
