"""The reader of Mixtrain's routing configurations, in each of the four shapes that its files have."""

import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.match_spec import FieldCondition, Match
from proxy.config.mixtrain.places import Places, hidden_texts
from proxy.config.problems import Problems
from proxy.config.spec import EndpointSpec, ModelServer, Retries, Route, Rule, Shadow, Target, Timeouts
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode, plain, shown
from proxy.config.values.addresses import endpoint_url
from proxy.config.values.conditions import pattern_fault
from proxy.config.values.fields import Fields
from proxy.config.values.headers import header_map
from proxy.config.values.kinds import Kind
from proxy.config.values.kinds import name as read_name
from proxy.config.values.policies import completed
from proxy.errors import UpstreamFailure
from proxy.mixtrain.models import RoutingCondition, RoutingConfig, RoutingRule, RoutingTarget
from proxy.mixtrain.validation import RoutingValidator
from proxy.operators import Operator

T = TypeVar("T")

_NATIVE_KEYS = frozenset({"servers", "routes", "endpoints"})
_WHOLE = 1_000_000
_ON_EVERY_FAILURE = frozenset(failure.value for failure in UpstreamFailure)
_SERVER_ERRORS = frozenset(range(500, 600))
# What the platform keeps beside, in its exports and records.
_PLATFORM_KEYS = frozenset(
    {"id", "version", "status", "is_active", "created_at", "updated_at", "created_by", "updated_by", "workspace"}
)
_QUOTED = re.compile(r"'.*'", re.DOTALL)
KIND = "Mixtrain"


@dataclass(frozen=True, slots=True)
class Found:
    """A configuration in a document: the mapping that holds it (or its list of rules), and its name if it has none."""

    node: Node
    default_name: str | None = None


def is_mixtrain(node: Node) -> bool:
    """Whether a document has one of the four shapes."""
    return _unwrapped(node) is not None


def read_mixtrain(node: Node, assembly: Assembly) -> None:
    """Add a configuration as one route, and each target of it as a server."""
    found = _unwrapped(node)
    if found is None:
        raise AssertionError
    before = assembly.problems.errors
    places = Places(found.node)
    config = _loaded(found, places, assembly.problems)
    if config is None:
        assembly.incomplete = True
        return
    told = _judge(config, found.node, places, assembly.problems)
    route = _Reading(found.node, places, config, told, assembly).route()
    assembly.declare_route(route.name, _name_place(found))
    assembly.add_route(route, sound=assembly.problems.errors == before)


def _unwrapped(node: Node) -> Found | None:
    """A frontend's export, a configuration, a bare list of rules, or a backend's record, asked for in this order."""
    stem = PurePath(node.place.file).stem
    if isinstance(node, ListNode):
        rules = node.items and all(isinstance(item, MappingNode) and "targets" in item.entries for item in node.items)
        return Found(node, f"Imported Configuration ({stem})") if rules else None
    if not isinstance(node, MappingNode) or not _NATIVE_KEYS.isdisjoint(node.entries):
        return None
    inner = node.entries.get("config")
    if "metadata" in node.entries and isinstance(inner, MappingNode):
        return Found(inner)
    if "rules" in node.entries:
        return Found(node)
    record = node.entries.get("config_data")
    if isinstance(record, MappingNode) and "rules" in record.entries:
        match node.entries.get("name"):
            case ScalarNode(value=str(beside)):
                return Found(record, beside)
            case _:
                return Found(record, f"Backend Configuration ({stem})")
    return Found(node) if "name" in node.entries else None


def _loaded(found: Found, places: Places, problems: Problems) -> RoutingConfig | None:
    """The configuration as Mixtrain reads it; what it would say against it is told at its place."""
    _tell_strangers(places, problems)
    data = plain(found.node)
    fields: dict[str, object] = {"rules": data}
    if isinstance(data, dict):
        fields = dict(data)
    if found.default_name is not None:
        fields.setdefault("name", found.default_name)
    try:
        return RoutingConfig.from_json(fields)
    except ValidationError as fault:
        for error in fault.errors(include_url=False, include_input=False):
            _tell_unread(places, error["loc"], error["type"], error["msg"], problems)
    return None


def _tell_strangers(places: Places, problems: Problems) -> None:
    """Mixtrain reads past a key that it does not know: a rule whose `condition` is misspelled then takes everything."""
    _tell_strangers_in(places.node(()), RoutingConfig, problems)
    for rule in _items(places.node(("rules",))):
        _tell_strangers_in(rule, RoutingRule, problems)
        for key, model in (("conditions", RoutingCondition), ("targets", RoutingTarget)):
            for item in _items(rule.entries.get(key) if isinstance(rule, MappingNode) else None):
                _tell_strangers_in(item, model, problems)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else ()


def _tell_strangers_in(node: Node | None, model: type[BaseModel], problems: Problems) -> None:
    if not isinstance(node, MappingNode):
        return
    with Fields(node, problems, strict=False) as fields:
        for key in (*model.model_fields, *_PLATFORM_KEYS.intersection(node.entries)):
            fields.node_of(key)


def _tell_unread(places: Places, steps: tuple[int | str, ...], kind: str, said: str, problems: Problems) -> None:
    if kind == "missing":
        problems.error(places.at(steps[:-1]), Code.MISSING_KEY, f"the key {shown(str(steps[-1]))} is missing")
        return
    code = Code.WRONG_TYPE if kind.endswith("_type") else Code.BAD_VALUE
    problems.error(places.at(steps), code, said.removeprefix("Value error, "))


def _judge(config: RoutingConfig, node: Node, places: Places, problems: Problems) -> frozenset[Place]:
    """What Mixtrain's own validator finds; the places that it speaks of, so that nothing is told twice."""
    told: set[Place] = set()
    hidden = hidden_texts(node)
    for said in RoutingValidator.validate_config(config):
        place, message = places.of_message(said)
        told.add(place)
        if hidden:  # what a message quotes of the file stands in quotes; some of it came from a variable
            message = _QUOTED.sub(lambda found: _veiled(found[0], hidden), message)
        problems.error(place, Code.BAD_VALUE, message)
    return frozenset(told)


def _veiled(quotation: str, hidden: list[str]) -> str:
    return "'…'" if any(text in quotation for text in hidden) else quotation


def _name_place(found: Found) -> Place:
    written = found.node.entries.get("name") if isinstance(found.node, MappingNode) else None
    return found.node.place if written is None else written.place


class _Reading:
    """Turns one configuration into specs. Its state is the assembly that the servers go to."""

    def __init__(
        self, node: Node, places: Places, config: RoutingConfig, told: frozenset[Place], assembly: Assembly
    ) -> None:
        self._node = node
        self._places = places
        self._config = config
        self._told = told
        self._assembly = assembly
        self._problems = assembly.problems

    def route(self) -> Route:
        """The rules by their priority, the highest first, equal ones as they stand."""
        config = self._config
        order = sorted(range(len(config.rules)), key=lambda index: -config.rules[index].priority)
        self._check(("name",), read_name)
        rules = [rule for index in order if (rule := self._rule(index, config.rules[index])) is not None]
        return Route(
            name=config.name,
            rules=tuple(rules),
            description=config.description or "",
            kind=KIND,
            origin=self._node.place.origin(),
        )

    def _check(self, steps: tuple[str | int, ...], kind: Kind[T]) -> T | None:
        """The value there, as ours must be; None where it is not (which is told once)."""
        node = self._places.node(steps)
        return None if node is None or node.place in self._told else kind(node, self._problems)

    def _rule(self, index: int, rule: RoutingRule) -> Rule | None:
        place = self._places.at(("rules", index))
        self._check(("rules", index, "name"), read_name)
        conditions = [self._condition(index, position) for position in range(len(rule.conditions))]
        used = rule.targets[:1] if rule.strategy == "single" else rule.targets
        if len(used) < len(rule.targets):
            message = "the strategy is single: only the first target is used"
            self._problems.hint(self._places.at(("rules", index, "targets", 1)), Code.WITHOUT_EFFECT, message)
        targets = [self._target(index, position, rule, target) for position, target in enumerate(used)]
        if not targets or any(target is None for target in targets):
            return None
        return _led(rule, [target for target in targets if target is not None], Match(tuple(conditions)), place)

    def _condition(self, index: int, position: int) -> FieldCondition:
        condition = self._config.rules[index].conditions[position]
        operator = Operator(condition.operator)
        if operator is Operator.REGEX:
            self._check(("rules", index, "conditions", position, "value"), _check_pattern)
        return FieldCondition(condition.field, operator, json.dumps(condition.value, ensure_ascii=False))

    def _target(self, index: int, position: int, rule: RoutingRule, target: RoutingTarget) -> Target | None:
        """A server of its own for each target: headers, limits and model are the target's."""
        base = ("rules", index, "targets", position)
        url = self._check((*base, "endpoint"), endpoint_url)
        model = self._check((*base, "model_name"), read_name)
        headers = self._check((*base, "headers"), header_map) if target.headers else ()
        if url is None or model is None or headers is None:
            return None
        name = f"mixtrain/{self._config.name}/{rule.name}/{position + 1}"
        place = self._places.at(base)
        if name not in self._assembly.servers:  # of two rules with one name, which has been told, the first
            self._assembly.declare_server(name, place)
        self._assembly.add_server(_server(name, EndpointSpec(*url), target, headers, place))
        self._assembly.refer(name, place)
        weight = round(target.weight * _WHOLE) if rule.strategy == "split" else 1
        return Target(name, weight)


def _check_pattern(node: Node, problems: Problems) -> Node:
    """A pattern that RE2 accepts: what Python alone accepts (a look-around) could be made to run for minutes."""
    text = str(plain(node))
    fault = pattern_fault(text)
    if fault is not None:
        hidden = bool(hidden_texts(node))
        message = "a pattern that RE2 does not accept" if hidden else f"{shown(text)} is no pattern that RE2 accepts"
        problems.error(node.place, Code.BAD_PATTERN, message if hidden else f"{message}: {fault}")
    return node


def _led(rule: RoutingRule, targets: list[Target], match: Match, place: Place) -> Rule:
    """A rule whose targets are used as its strategy says."""
    first, *others = targets
    strategy = str(rule.strategy)
    return Rule(
        name=rule.name,
        targets=tuple(targets) if strategy == "split" else (first,),
        matches=(match,) if match.conditions else (),
        fallback=tuple(others) if strategy == "fallback" else (),
        shadow=Shadow(others[0]) if strategy == "shadow" else None,
        enabled=rule.is_enabled,
        description=rule.description or "",
        origin=place.origin(),
    )


def _server(
    name: str, endpoint: EndpointSpec, target: RoutingTarget, headers: tuple[tuple[str, str], ...], place: Place
) -> ModelServer:
    """The limit is on each try; after it, after a refusal or a reset and after a 5xx comes the next try, at once."""
    limit = None if target.timeout_ms is None else target.timeout_ms / 1000
    return ModelServer(
        name=name,
        endpoints=(endpoint,),
        model=target.model_name,
        timeouts=completed(Timeouts(first_byte=limit, idle=limit)),
        retries=Retries(target.retry_count or 0, _ON_EVERY_FAILURE, _SERVER_ERRORS, 0.0),
        retry_budget=1.0,
        headers=headers,
        origin=place.origin(),
    )
