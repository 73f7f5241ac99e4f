"""From a configuration to a routing table, in steps small enough for an event loop to breathe between them."""

from collections.abc import Generator

from proxy.config.spec import BodyCondition, Config, Match, Retries, Route, Rule, Target, Timeouts
from proxy.errors import ConfigError, Problem, Severity
from proxy.routing.matching import Predicate, compile_globs, compile_rule
from proxy.routing.split import Split
from proxy.routing.table import BoundTarget, GlobSteps, Parts, RouteMatch, RoutingTable, Step, Steps

# Work between two pauses, in rules, conditions and tenths of names: 0.3 ms (benchmarks/routing.py).
SLICE = 64


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
        self._servers = config.servers
        self._previous = dict(previous.groups) if previous is not None else {}
        self._bound: dict[tuple[str, str | None, Timeouts, Retries | None], BoundTarget] = {}
        self._predicates: dict[tuple[Match, ...], Predicate | None] = {}
        self._work = 0.0

    def add(self, route: Route) -> Generator[None, None, None]:
        """Prepare a route's rules and enter them under each of its names."""
        direct: list[Step] = []
        adapted: list[Step] = []
        for rule in route.rules:
            predicate = self._predicate(rule)
            match = self._lead(route, rule)
            direct.append(Step(predicate, match, rule))
            if route.adapters:
                adapted.append(Step(predicate, self._lead_adapter(route, rule, match), rule))
            self._note_body_fields(rule)
            yield from self._breathe(1 + sum([len(match.conditions) for match in rule.matches]))
        yield from self._enter(route, _reachable(direct), _reachable(adapted))

    def _predicate(self, rule: Rule) -> Predicate | None:
        """Rules that ask the same share a predicate: of 10,000 routes, what is asked often then stays in the caches."""
        if rule.matches not in self._predicates:
            self._predicates[rule.matches] = compile_rule(rule)
        return self._predicates[rule.matches]

    def _enter(self, route: Route, direct: Steps, adapted: Steps) -> Generator[None, None, None]:
        parts = self.parts
        if not route.models and not route.adapters:
            parts.general = _chained(parts.general, direct)
            return
        globs = [model for model in route.models if "*" in model]
        if globs:
            parts.globs.append(GlobSteps(compile_globs(globs), direct))
        for model in route.models:
            if "*" not in model:
                parts.models[model] = None
                parts.exact[model] = _chained(parts.exact.get(model, ()), direct)
                yield from self._breathe(0.1)
        for adapter in route.adapters:
            parts.models[adapter] = None
            parts.adapters[adapter] = _chained(parts.adapters.get(adapter, ()), adapted)
            yield from self._breathe(0.1)

    def _lead(self, route: Route, rule: Rule) -> RouteMatch:
        match = self._match(route, rule, adapter=False)
        group = (route.name, rule.name)
        known = self._previous.pop(group, None)
        if known is not None:
            match.split.adopt(known)
        self.parts.groups[group] = match.split
        return match

    def _lead_adapter(self, route: Route, rule: Rule, direct: RouteMatch) -> RouteMatch:
        match = self._match(route, rule, adapter=True)
        match.split.adopt(direct.split)
        return match

    def _match(self, route: Route, rule: Rule, *, adapter: bool) -> RouteMatch:
        bound = [(self._bind(rule, target, adapter=adapter), target.weight) for target in rule.targets]
        fallback = tuple([self._bind(rule, target, adapter=adapter) for target in rule.fallback])
        try:
            split = Split(bound, key=rule.targets)
        except ValueError as error:
            raise _problem(rule, "bad-weights", str(error)) from error
        return RouteMatch(route.name, rule.name, split, fallback)

    def _bind(self, rule: Rule, target: Target, *, adapter: bool) -> BoundTarget:
        server = self._servers.get(target.server)
        if server is None:
            raise _problem(rule, "unknown-server", f"there is no server {target.server!r}")
        # An adapter is a name that the engine knows: the server's model would hide it.
        model = target.model or (None if adapter else server.model)
        key = (target.server, model, rule.timeouts, rule.retries)
        known = self._bound.get(key)
        if known is None:
            known = self._bound[key] = BoundTarget(
                target.server, model, _settle(rule.timeouts, server.timeouts), rule.retries or server.retries
            )
        return known

    def _note_body_fields(self, rule: Rule) -> None:
        for match in rule.matches:
            for condition in match.conditions:
                if isinstance(condition, BodyCondition):
                    self.parts.body_fields.update(condition.keys[:1])

    def _breathe(self, work: float) -> Generator[None, None, None]:
        self._work += work
        if self._work >= SLICE:
            self._work = 0.0
            yield


def _settle(rule: Timeouts, server: Timeouts) -> Timeouts:
    if rule == Timeouts():
        return server
    return Timeouts(
        connect=server.connect if rule.connect is None else rule.connect,
        first_byte=server.first_byte if rule.first_byte is None else rule.first_byte,
        idle=server.idle if rule.idle is None else rule.idle,
        total=server.total if rule.total is None else rule.total,
    )


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


def _problem(rule: Rule, code: str, message: str) -> ConfigError:
    origin = rule.origin
    text = f"rule {rule.name!r}: {message}"
    return ConfigError((Problem(Severity.ERROR, code, origin.file, origin.line, origin.column, origin.path, text),))
