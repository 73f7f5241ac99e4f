"""ModelRoute as Kthena's CRD has it: rules for a model or its LoRA adapters, with weighted targets and token limits."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kthena.crd_limit import read_token_limit
from proxy.config.kthena.crd_match import read_model_match
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import HIGHEST_PORT, Referral, check_most, optional_name
from proxy.config.problems import Problems
from proxy.config.spec import Route, Rule, Target
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import is_faulty, mismatch, name, whole

MOST_RULES = 16
MOST_TARGETS = 16
MOST_ADAPTERS = 10
_WITHOUT_WEIGHT = 100


def read_crd_route(resource: Resource, spec: MappingNode, assembly: Assembly) -> Route:
    """The route that a resource describes."""
    with Fields(spec, assembly.problems, strict=False) as fields:
        model = fields.get("modelName", _read_model_name)
        adapters = _read_adapters(fields)
        _check_named(fields)
        _read_parents(fields)
        limit = fields.get("rateLimit", read_token_limit)
        rules = _RuleReader(resource, assembly, lora=not _is_nothing(fields.node_of("loraAdapters"))).read(fields)
    return Route(
        name=resource.key,
        rules=rules,
        models=(model,) if model else (),
        adapters=adapters,
        token_limit=limit,
        kind=resource.kind,
        origin=resource.place.origin(),
    )


# --- which requests ---------------------------------------------------------------------------------------------------


def _read_model_name(node: Node, problems: Problems) -> str | None:
    return _exact(node, problems, "a modelName", "write a route for each model, or a native one with models: [...]")


def _exact(node: Node, problems: Problems, what: str, advice: str) -> str | None:
    """A name that is compared as it stands, where * would be taken for any text."""
    found = optional_name(node, problems)
    if found is not None and "*" in found:
        message = f"{what} is compared exactly, so * cannot stand for any text: {advice}"
        problems.error(node.place, Code.BAD_VALUE, message)
        return None
    return found


def _read_adapters(fields: Fields) -> tuple[str, ...]:
    node = fields.filled("loraAdapters")
    if node is None:
        return ()
    if not isinstance(node, ListNode):
        mismatch(node, fields.problems, "a list of LoRA adapters")
        return ()
    check_most(node, MOST_ADAPTERS, "LoRA adapters", fields.problems)
    found = [_read_adapter(item, fields.problems) for item in node.items if not is_faulty(item)]
    return tuple(dict.fromkeys(adapter for adapter in found if adapter))


def _read_adapter(node: Node, problems: Problems) -> str | None:
    found = _exact(node, problems, "a LoRA adapter's name", "list each of them")
    if found == "":
        problems.error(node.place, Code.BAD_VALUE, "lora adapter name cannot be an empty string")
    return found


def _check_named(fields: Fields) -> None:
    """A name that is wrong was told as what it is: this is about none at all."""
    if _is_nothing(fields.node_of("modelName")) and _is_nothing(fields.node_of("loraAdapters")):
        message = "ModelName and LoraAdapters cannot both be empty: a route says which requests are its own"
        fields.problems.error(fields.place, Code.MISSING_KEY, message)


def _is_nothing(node: Node | None) -> bool:
    match node:
        case ScalarNode():
            return not node.faulty and (node.empty or not node.text)
        case ListNode():
            return not node.items
        case _:
            return node is None


def _read_parents(fields: Fields) -> None:
    node = fields.filled("parentRefs")
    if node is None:
        return
    if not isinstance(node, ListNode):
        mismatch(node, fields.problems, "a list of references to gateways")
        return
    for item in node.items:
        parent = fields_of(item, fields.problems, "a reference to a gateway: a mapping with name", strict=False)
        if parent is not None:
            _read_parent(parent)
    if node.items:
        message = "gateways are not read: this route applies to the requests of every listener"
        fields.problems.hint(node.place, Code.WITHOUT_EFFECT, message)


def _read_parent(fields: Fields) -> None:
    with fields:
        fields.require("name", name)
        for key in ("group", "kind", "namespace", "sectionName"):
            fields.get(key, optional_name)
        fields.get("port", whole(1, HIGHEST_PORT))


# --- rules ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _RuleReader:
    """Reads the rules of one route; `lora` says that it names adapters."""

    resource: Resource
    assembly: Assembly
    lora: bool

    def read(self, fields: Fields) -> tuple[Rule, ...]:
        node = fields.required("rules")
        if node is None:
            return ()
        if not isinstance(node, ListNode):
            mismatch(node, fields.problems, "a list of rules")
            return ()
        check_most(node, MOST_RULES, "rules", fields.problems)
        if not node.items:
            message = "a route without rules takes no request"
            fields.problems.hint(node.place, Code.WITHOUT_EFFECT, message)
        rules = (self._rule(item, f"rule-{number}") for number, item in enumerate(node.items, 1))
        return tuple(_distinct(rule for rule in rules if rule is not None))

    def _rule(self, node: Node, default_name: str) -> Rule | None:
        expected = "a rule: a mapping with modelMatch and targetModels"
        fields = fields_of(node, self.assembly.problems, expected, strict=False)
        if fields is None:
            return None
        with fields:
            return Rule(
                name=fields.get("name", optional_name) or default_name,
                matches=fields.get("modelMatch", read_model_match, ()),
                targets=self._targets(fields),
                origin=fields.place.origin(),
            )

    def _targets(self, fields: Fields) -> tuple[Target, ...]:
        node = fields.node_of("targetModels")
        if _is_nothing(node):
            message = "each rule must have at least one target model: targetModels is missing or empty"
            fields.problems.error(fields.place if node is None else node.place, Code.MISSING_KEY, message)
            return ()
        if not isinstance(node, ListNode):
            if node is not None and not is_faulty(node):
                mismatch(node, fields.problems, "a list of targets")
            return ()
        check_most(node, MOST_TARGETS, "targets", fields.problems)
        found = [self._target(item) for item in node.items]
        targets = tuple(target for target in found if target is not None)
        if len(targets) == len(found) and not any(target.weight for target in targets):
            message = "all weights are 0, so no target could ever be chosen: their sum must be greater than 0"
            fields.problems.error(node.place, Code.NO_WEIGHT, message)
        return targets

    def _target(self, node: Node) -> Target | None:
        problems = self.assembly.problems
        fields = fields_of(node, problems, "a target: a mapping with modelServerName and weight", strict=False)
        if fields is None:
            return None
        with fields:
            server = self._server(fields)
            weight = fields.get("weight", whole(0, 100), _WITHOUT_WEIGHT)
        return None if server is None else Target(server, weight)

    def _server(self, fields: Fields) -> str | None:
        errors = fields.problems.errors
        model_server = fields.get("modelServerName", optional_name)
        provider = fields.get("externalModelProviderName", optional_name)
        if fields.problems.errors > errors:
            return None
        if bool(model_server) == bool(provider):
            message = "exactly one of modelServerName or externalModelProviderName must be set"
            code = Code.CONFLICTING_KEYS if provider else Code.MISSING_KEY
            fields.problems.error(fields.place, code, message)
            return None
        if provider and self.lora:
            place = fields.node.entries["externalModelProviderName"].place
            message = "routes with loraAdapters must not use external providers"
            fields.problems.error(place, Code.CONFLICTING_KEYS, message)
        if provider:
            key, kind, prefix = "externalModelProviderName", "ExternalModelProvider", "provider/"
        else:
            key, kind, prefix = "modelServerName", "ModelServer", ""
        referral = Referral(self.resource.namespace, provider or model_server or "", fields.node.entries[key].place)
        return referral.follow(kind, prefix, self.assembly)


def _distinct(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Kthena lets rules share a name; here each is called by its own, so the later ones get a number."""
    taken: set[str] = set()
    for rule in rules:
        found, number = rule.name, 2
        while found in taken:
            found, number = f"{rule.name}-{number}", number + 1
        taken.add(found)
        yield replace(rule, name=found)
