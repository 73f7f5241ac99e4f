"""From a configuration to a routing table, in steps small enough for an event loop to breathe between them."""

from collections.abc import Generator

from proxy.config.match_spec import BodyCondition, FieldCondition, Match
from proxy.config.spec import Config, Route, Rule, StickyKind
from proxy.routing.binding import Binder
from proxy.routing.matching import Predicate, compile_globs, compile_rule
from proxy.routing.table import Candidates, GlobSteps, Parts, RouteMatch, RoutingTable, Step, Steps

# Work between two pauses, in rules, conditions and tenths of names: 0.3 ms (benchmarks/routing.py).
SLICE = 64

FALLBACK = "fallback"
"""The name under which a route's own fallback is told, beside its rules' names."""


def compile_table(config: Config, previous: RoutingTable | None = None) -> RoutingTable:
    """The whole table at once, for start-up, validation and tests. Raises ConfigError."""
    steps = compile_steps(config, previous)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            table: RoutingTable = finished.value
            return table


def compile_steps(config: Config, previous: RoutingTable | None = None) -> Generator[None, None, RoutingTable]:
    """The table, with a pause after each small piece of work. Splits of unchanged groups go on where `previous` stands.

    Raises ConfigError on what no table can be made of: an unknown server, a bad pattern, weights that share nothing.
    """
    classes: dict[int, list[Route]] = {}
    for index, route in enumerate(config.routes):
        classes.setdefault(route.priority, []).append(route)
        if index % (8 * SLICE) == 0:
            yield
    compiler = _Compiler(config, previous)
    for priority in sorted(classes, reverse=True):
        for route in classes[priority]:
            yield from compiler.add(route)
    yield
    return RoutingTable(config.routes, compiler.parts)


class _Compiler:
    """Fills a table's parts, route by route, in the order of priority."""

    def __init__(self, config: Config, previous: RoutingTable | None) -> None:
        self.parts = Parts()
        self._binder = Binder(config, self.parts, previous)
        self._predicates: dict[tuple[Match, ...], Predicate | None] = {}
        self._work = 0.0

    def add(self, route: Route) -> Generator[None, None, None]:
        """Prepare a route's rules and enter them under each of its names."""
        direct: list[Step] = []
        adapted: list[Step] = []
        for rule in route.rules:
            if not rule.enabled:
                continue
            predicate = self._predicate(rule)
            match = self._binder.bind(route, rule)
            direct.append(Step(predicate, match, rule))
            if route.adapters:
                adapted.append(Step(predicate, self._adapted(route, rule, match), rule))
            self._note_body_fields(rule)
            yield from self._breathe(1 + sum([len(match.conditions) for match in rule.matches]))
        yield from self._enter(self.parts.rules, route, _reachable(direct), _reachable(adapted))
        if route.fallback:
            yield from self._add_fallback(route)

    def _add_fallback(self, route: Route) -> Generator[None, None, None]:
        """A route's own fallback holds for each of its names, once no rule of any route does."""
        first, *others = route.fallback
        rule = Rule(FALLBACK, (first,), fallback=tuple(others), origin=route.origin)
        match = self._binder.bind(route, rule)
        direct = (Step(None, match, rule),)
        adapted = (Step(None, self._adapted(route, rule, match), rule),) if route.adapters else ()
        yield from self._enter(self.parts.fallbacks, route, direct, adapted)

    def _adapted(self, route: Route, rule: Rule, direct: RouteMatch) -> RouteMatch:
        match = self._binder.bind(route, rule, adapter=True)
        match.split.adopt(direct.split)
        return match

    def _predicate(self, rule: Rule) -> Predicate | None:
        """Rules that ask the same share a predicate: of 10,000 routes, what is asked often then stays in the caches."""
        if rule.matches not in self._predicates:
            self._predicates[rule.matches] = compile_rule(rule)
        return self._predicates[rule.matches]

    def _enter(self, into: Candidates, route: Route, direct: Steps, adapted: Steps) -> Generator[None, None, None]:
        if not direct:
            return
        if not route.models and not route.adapters:
            into.general = _chained(into.general, direct)
            return
        globs = [model for model in route.models if "*" in model]
        if globs:
            into.globs.append(GlobSteps(compile_globs(globs), direct))
        for model in route.models:
            if "*" not in model:
                self.parts.models[model] = None
                into.exact[model] = _chained(into.exact.get(model, ()), direct)
                yield from self._breathe(0.1)
        for adapter in route.adapters:
            self.parts.models[adapter] = None
            into.adapters[adapter] = _chained(into.adapters.get(adapter, ()), adapted)
            yield from self._breathe(0.1)

    def _note_body_fields(self, rule: Rule) -> None:
        if rule.sticky is not None and rule.sticky.kind is StickyKind.USER:
            self.parts.body_fields.add("user")
        for match in rule.matches:
            for condition in match.conditions:
                if isinstance(condition, BodyCondition):
                    self.parts.body_fields.update(condition.keys[:1])
                elif isinstance(condition, FieldCondition):
                    self.parts.body_fields.update(_fields_read(condition))

    def _breathe(self, work: float) -> Generator[None, None, None]:
        self._work += work
        if self._work >= SLICE:
            self._work = 0.0
            yield


def _fields_read(condition: FieldCondition) -> set[str]:
    """The top-level fields of a body that a condition may look at; what the message says tells whether it streams."""
    first = condition.field.partition(".")[0]
    return {first, "stream"} if first == "request" else {first}


def _reachable(steps: list[Step]) -> Steps:
    """Nothing behind a rule that always holds is ever tried."""
    for index, step in enumerate(steps):
        if step.predicate is None:
            return tuple(steps[: index + 1])
    return tuple(steps)


def _chained(known: Steps, more: Steps) -> Steps:
    if known and known[-1].predicate is None:
        return known
    return known + more if known else more
