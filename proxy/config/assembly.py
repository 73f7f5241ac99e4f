"""What the readers of all files have found, put together: names checked, references followed, reach considered."""

from dataclasses import dataclass, field

from proxy.config.codes import Code
from proxy.config.nodes import Place, ScalarNode, quoted, shown
from proxy.config.problems import Problems
from proxy.config.spec import Config, Match, ModelServer, Origin, Route, Rule


@dataclass(slots=True)
class Assembly:
    """All servers and routes found so far. Readers add to it; `config_of` takes what came together."""

    problems: Problems
    servers: dict[str, ModelServer] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    # Those without an error of their own: what a broken rule would have matched is not known.
    sound_routes: list[Route] = field(default_factory=list)
    declared: dict[str, Place] = field(default_factory=dict)
    route_names: dict[str, Place] = field(default_factory=dict)
    # Servers' names as targets give them.
    references: list[ScalarNode] = field(default_factory=list)
    # A file that could not be read to its end may hold the servers that others refer to.
    incomplete: bool = False

    def declare_server(self, name: str, place: Place) -> None:
        """A server of this name exists, though its own fields may be wrong."""
        if (first := self.declared.setdefault(name, place)) is not place:
            message = f"the server {shown(name)} was already defined at {_where(first)}"
            self.problems.error(place, Code.DUPLICATE_NAME, message)

    def declare_route(self, node: ScalarNode) -> None:
        """A route of this name exists."""
        if (first := self.route_names.setdefault(node.text, node.place)) is not node.place:
            message = f"the route {quoted(node)} was already defined at {_where(first)}"
            self.problems.error(node.place, Code.DUPLICATE_NAME, message)

    def add_route(self, route: Route, *, sound: bool) -> None:
        """A route in its place after those before it; a sound one was read without an error."""
        self.routes.append(route)
        if sound:
            self.sound_routes.append(route)


def config_of(assembly: Assembly, version: str) -> Config:
    """The configuration as a whole, after every check that needs all of its files."""
    if not assembly.incomplete:
        _check_references(assembly)
    if not assembly.problems.failed:
        # Otherwise the route that would use it may be the broken one.
        _check_use(assembly)
    for route in assembly.sound_routes:
        _check_rules(route, assembly.problems)
    _check_reach(assembly)
    return Config(servers=dict(assembly.servers), routes=tuple(assembly.routes), version=version)


def _where(place: Place | Origin) -> str:
    return f"{place.file}:{place.line}"


def _check_references(assembly: Assembly) -> None:
    known = sorted(assembly.declared)
    for node in assembly.references:
        if node.text in assembly.declared:
            continue
        near = None if node.hidden else assembly.problems.suggest(node.text, known)
        assembly.problems.error(node.place, Code.UNKNOWN_SERVER, f"there is no server {quoted(node)}", near)


def _check_use(assembly: Assembly) -> None:
    used = {node.text for node in assembly.references}
    for name, place in assembly.declared.items():
        if name not in used:
            assembly.problems.hint(place, Code.UNUSED_SERVER, f"no route leads to the server {shown(name)}")


def _check_rules(route: Route, problems: Problems) -> None:
    """Tell of rules that an earlier one of the same route leaves nothing to."""
    seen: set[Match] = set()
    everything: Rule | None = None
    for rule in route.rules:
        if everything is not None:
            message = (
                f"never reached: the rule on line {everything.origin.line} has no match, so it takes every request"
            )
            problems.warning(rule.origin, Code.UNREACHABLE_RULE, message)
        elif rule.matches and seen.issuperset(rule.matches):
            message = "never reached: earlier rules of this route have the same matches"
            problems.warning(rule.origin, Code.UNREACHABLE_RULE, message)
        if everything is None and not rule.matches:
            everything = rule
        seen.update(rule.matches)


def _check_reach(assembly: Assembly) -> None:
    """Tell of routes whose every model and adapter is taken whole by routes that come before them."""
    taken: dict[tuple[str, str], Origin] = {}
    # The order in which candidates are asked: by priority, then as they stand in the files.
    for route in sorted(assembly.sound_routes, key=lambda route: -route.priority):
        names = [("model", model) for model in route.models] + [("adapter", adapter) for adapter in route.adapters]
        subjects = names or [("", "")]
        first = taken.get(subjects[0])
        if first is not None and all(subject in taken for subject in subjects):
            what = "every model and adapter that it names" if names else "everything without a route by model"
            message = f"never reached: {what} is taken by routes before it, such as the one at {_where(first)}"
            assembly.problems.warning(route.origin, Code.UNREACHABLE_ROUTE, message)
        if any(not rule.matches for rule in route.rules):
            taken.update((subject, route.origin) for subject in subjects if subject not in taken)
