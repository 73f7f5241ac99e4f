"""InferenceModelRewrite and InferenceObjective: which model a pool's requests get, and which priority."""

from dataclasses import replace

from proxy.config.assembly import Assembly, ObjectiveDocument, RewriteDocument
from proxy.config.codes import Code
from proxy.config.inference.pool import pool_reference, read_restore_model
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import declare
from proxy.config.problems import Problems
from proxy.config.spec import Rewrite, RewriteTarget
from proxy.config.text.nodes import ListNode, MappingNode, Node, described
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import choice, listed, mismatch, whole
from proxy.config.values.names import model_name

_HEAVIEST = 1_000_000
_INT32 = whole(-(2**31), 2**31 - 1)


# --- InferenceModelRewrite --------------------------------------------------------------------------------------------


def read_rewrite(resource: Resource, assembly: Assembly) -> None:
    """Add a pool's rewrites to the assembly."""
    problems = assembly.problems
    declare(resource.kind, resource.key, resource, assembly)
    restore = read_restore_model(resource, problems)
    if resource.spec is None:
        return
    with Fields(resource.spec, problems, strict=False) as fields:
        pool = fields.require("poolRef", pool_reference(resource.namespace))
        rewrites = tuple(replace(rewrite, name=resource.name) for rewrite in _read_rules(fields))
    key = None if pool is None else pool.follow(assembly)
    if pool is not None and key is not None:
        document = RewriteDocument(key, rewrites, resource.age, pool.referral.place, restore, pool.group)
        assembly.rewrites.append(document)


def _read_rules(fields: Fields) -> list[Rewrite]:
    node = fields.required("rules")
    if node is None:
        return []
    if not isinstance(node, ListNode):
        mismatch(node, fields.problems, "a list of rules")
        return []
    rewrites = [_read_rule(item, fields.problems) for item in node.items]
    return [rewrite for rewrite in rewrites if rewrite is not None]


def _read_rule(node: Node, problems: Problems) -> Rewrite | None:
    """One rule; None where it has an error, because what it would have matched is not known."""
    before = problems.errors
    fields = fields_of(node, problems, "a rule: a mapping with matches and targets", strict=False)
    if fields is None:
        return None
    with fields:
        models = fields.get("matches", listed(_read_match)) or ()
        targets = _read_targets(fields)
    if problems.errors > before:
        return None
    return Rewrite(targets, tuple(dict.fromkeys(models)), origin=fields.place.origin())


def _read_match(node: Node, problems: Problems) -> str | None:
    """The model that an entry of `matches` names."""
    fields = fields_of(node, problems, "a mapping with model", strict=False)
    if fields is None:
        return None
    with fields:
        return fields.require("model", _read_model)


def _read_model(node: Node, problems: Problems) -> str | None:
    fields = fields_of(node, problems, "a mapping with type and value", strict=False)
    if fields is None:
        return None
    with fields:
        fields.get("type", choice(("Exact",)))
        value = fields.require("value", model_name)
        written = fields.filled("value")
    if value is not None and "*" in value and written is not None:
        message = f"a match is always exact: the * in {described(written)} stands for itself"
        problems.warning(written.place, Code.WITHOUT_EFFECT, message)
    return value


def _read_targets(fields: Fields) -> tuple[RewriteTarget, ...]:
    node = fields.filled("targets")
    if node is None or (isinstance(node, ListNode) and not node.items):
        place = fields.node.key_place("targets") if "targets" in fields.node.entries else fields.place
        message = "a rule needs at least one target: without one, every request that it matches would get 400"
        fields.problems.error(place, Code.MISSING_KEY, message)
        return ()
    if not isinstance(node, ListNode):
        mismatch(node, fields.problems, "a list of targets")
        return ()
    targets = [_read_target(item, fields.problems) for item in node.items]
    found = [target for target in targets if target is not None]
    if len(found) == len(node.items):
        _check_weights(found, node, fields.problems)
    if any(weight is not None for _, weight in found):
        return tuple(RewriteTarget(model, weight or 0) for model, weight in found)
    return tuple(RewriteTarget(model) for model, _ in found)


def _read_target(node: Node, problems: Problems) -> tuple[str, int | None] | None:
    """A model to send, and its weight where it has one."""
    fields = fields_of(node, problems, "a target: a mapping with modelRewrite and weight", strict=False)
    if fields is None:
        return None
    with fields:
        model = fields.require("modelRewrite", model_name)
        weight = fields.get("weight", whole(1, _HEAVIEST))
    return None if model is None else (model, weight)


def _check_weights(targets: list[tuple[str, int | None]], node: ListNode, problems: Problems) -> None:
    weights = [weight for _, weight in targets]
    if None in weights and any(weights):
        place = node.items[weights.index(None)].place
        message = "this target is never chosen, as others have a weight and it has none: give one to all or to none"
        problems.warning(place, Code.NO_WEIGHT, message)
    # 100 is what a whole is called where weights are thought of as percentages.
    elif len(weights) == 1 and weights[0] not in {None, 1, 100} and isinstance(only := node.items[0], MappingNode):
        message = "this weight has no effect: the rule has no other target"
        problems.hint(only.entries["weight"].place, Code.WITHOUT_EFFECT, message)


# --- InferenceObjective -----------------------------------------------------------------------------------------------


def read_objective(resource: Resource, assembly: Assembly) -> None:
    """Add a named priority for a pool's requests to the assembly."""
    declare(resource.kind, resource.key, resource, assembly)
    if resource.spec is None:
        return
    with Fields(resource.spec, assembly.problems, strict=False) as fields:
        priority = fields.get("priority", _INT32, 0)
        pool = fields.require("poolRef", pool_reference(resource.namespace))
    key = None if pool is None else pool.follow(assembly)
    if pool is not None and key is not None:
        place = pool.referral.place
        assembly.objectives.append(ObjectiveDocument(key, resource.name, priority, place, pool.group))
