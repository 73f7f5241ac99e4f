"""The reader of native rules: what they match, where they lead, and how those servers are asked."""

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.native.matches import read_matches
from proxy.config.native.parts import HEAVIEST
from proxy.config.problems import Problems
from proxy.config.spec import Analysis, Rule, Shadow, Target, Timeouts
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, quoted
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import Kind, boolean, duration, full_name, is_faulty, mismatch, name, one_or_more, whole
from proxy.config.values.names import prose
from proxy.config.values.policies import read_retries, read_timeouts

MOST_SHADOWS = 1_000_000
_SHADOW_DEFAULT = Shadow(Target(""))


def read_rules(fields: Fields, assembly: Assembly) -> tuple[Rule, ...]:
    """The rules of a route. One with a fallback needs none: what no other route takes is its alone."""
    optional = fields.filled("fallback") is not None
    node = fields.filled("rules") if optional else fields.required("rules")
    if node is None:
        return ()
    if not isinstance(node, ListNode):
        mismatch(node, assembly.problems, "a list of rules")
        return ()
    if not (node.items or optional):
        message = "a route without rules takes no request"
        assembly.problems.warning(node.place, Code.WITHOUT_EFFECT, message)
    rules = [_read_rule(item, f"rule-{number}", assembly) for number, item in enumerate(node.items, 1)]
    found = tuple(rule for rule in rules if rule is not None)
    _check_rule_names(node, found, assembly.problems)
    return found


def _check_rule_names(node: ListNode, rules: tuple[Rule, ...], problems: Problems) -> None:
    names = [rule.name for rule in rules]
    if len(set(names)) == len(names) or len(rules) < len(node.items):
        return
    seen: set[str] = set()
    for rule, item in zip(rules, node.items, strict=True):
        if rule.name in seen:
            written = item.entries.get("name") if isinstance(item, MappingNode) else None
            said = quoted(written) if isinstance(written, ScalarNode) else repr(rule.name)
            problems.error(rule.origin, Code.DUPLICATE_NAME, f"this route has another rule named {said}")
        seen.add(rule.name)


def _read_rule(node: Node, default_name: str, assembly: Assembly) -> Rule | None:
    fields = fields_of(node, assembly.problems, "a rule: a mapping with match and targets")
    if fields is None:
        return None
    with fields:
        targets = _read_targets(fields, assembly)
        return Rule(
            name=fields.get("name", full_name, default_name),
            matches=read_matches(fields),
            targets=targets,
            fallback=fields.get("fallback", one_or_more(target_kind(assembly, weighted=False)), ()),
            timeouts=fields.get("timeout", read_timeouts, Timeouts()),
            retries=fields.get("retries", read_retries),
            shadow=fields.get("shadow", _shadow(assembly)),
            analysis=_read_analysis(fields, targets),
            enabled=fields.get("enabled", boolean, default=True),
            description=fields.get("description", prose, ""),
            origin=fields.place.origin(),
        )


def _read_targets(fields: Fields, assembly: Assembly) -> tuple[Target, ...]:
    node = fields.required("targets")
    if node is None:
        return ()
    if isinstance(node, ListNode) and not node.items:
        mismatch(node, assembly.problems, "at least one target")
        return ()
    targets = one_or_more(target_kind(assembly, weighted=True))(node, assembly.problems) or ()
    if targets and not any(target.weight for target in targets):
        message = "all weights are 0, so no target could ever be chosen"
        assembly.problems.error(node.place, Code.NO_WEIGHT, message)
    return targets


def target_kind(assembly: Assembly, *, weighted: bool) -> Kind[Target]:
    """A target as its server's name alone, or as a mapping. Fallbacks are taken in order, so they have no weights."""
    keys = "server, weight, model, timeout, retries" if weighted else "server, model, timeout, retries"
    reference = _reference(assembly)

    def read(node: Node, problems: Problems) -> Target | None:
        if isinstance(node, ScalarNode):
            server = reference(node, problems)
            return None if server is None else Target(server)
        fields = fields_of(node, problems, f"a server's name, or a mapping with {keys}")
        if fields is None:
            return None
        with fields:
            server = fields.require("server", reference)
            weight = fields.get("weight", whole(0, HEAVIEST), 1) if weighted else 1
            model = fields.get("model", name)
            timeouts = fields.get("timeout", read_timeouts, Timeouts())
            retries = fields.get("retries", read_retries)
        return None if server is None else Target(server, weight, model, timeouts, retries)

    return read


def _shadow(assembly: Assembly) -> Kind[Shadow]:
    """A shadow as its server's name alone, or as a mapping."""
    reference = _reference(assembly)

    def read(node: Node, problems: Problems) -> Shadow | None:
        if isinstance(node, ScalarNode):
            server = reference(node, problems)
            return None if server is None else Shadow(Target(server))
        fields = fields_of(node, problems, "a server's name, or a mapping with server, model, timeout, max_in_flight")
        if fields is None:
            return None
        with fields:
            server = fields.require("server", reference)
            model = fields.get("model", name)
            timeouts = fields.get("timeout", read_timeouts, Timeouts())
            most = fields.get("max_in_flight", whole(1, MOST_SHADOWS), _SHADOW_DEFAULT.max_in_flight)
        return None if server is None else Shadow(Target(server, model=model, timeouts=timeouts), most)

    return read


def _reference(assembly: Assembly) -> Kind[str]:
    """A server's name, remembered so that it can be followed when all files are read."""

    def read(node: Node, problems: Problems) -> str | None:
        found = full_name(node, problems)
        if found is not None and isinstance(node, ScalarNode):
            assembly.refer_by(node)
        return found

    return read


def _read_analysis(fields: Fields, targets: tuple[Target, ...]) -> Analysis | None:
    """How the second of two targets is judged against the first."""
    node, problems = fields.filled("analysis"), fields.problems
    if node is None:
        return None
    inner = fields_of(node, problems, "a mapping with threshold and interval")
    if inner is None:
        return None
    with inner:
        threshold = inner.require("threshold", percentage)
        interval = inner.require("interval", duration)
    written = fields.filled("targets")
    count = len(written.items) if isinstance(written, ListNode) else 1
    if written is not None and not is_faulty(written) and count != 2:
        message = f"analysis compares the second target with the first: it needs exactly two, and there are {count}"
        problems.error(node.place, Code.CONFLICTING_KEYS, message)
    if threshold is None or interval is None or len(targets) != 2:
        return None
    message = "analysis is not enforced by this version: the weights stay as they are"
    problems.warning(node.place, Code.NOT_ENFORCED, message)
    return Analysis(threshold, interval)


def percentage(node: Node, problems: Problems) -> float | None:
    """A number from 0 to 100."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100:
        return float(value)
    mismatch(node, problems, "a number from 0 to 100, in per cent")
    return None
