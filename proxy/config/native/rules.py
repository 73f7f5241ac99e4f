"""The reader of native rules: what they match, where they lead, and how those servers are asked."""

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.native.canary import canary_kind
from proxy.config.native.matches import read_matches
from proxy.config.native.targets import shadow_kind, target_kind
from proxy.config.problems import Problems
from proxy.config.spec import Canary, Rule, Sticky, StickyKind, Target, Timeouts
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, quoted
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import is_header_name
from proxy.config.values.kinds import boolean, full_name, mismatch, name, one_or_more
from proxy.config.values.names import prose
from proxy.config.values.policies import read_retries, read_timeouts

STICKY_USER = StickyKind.USER.value
_NAMED = tuple(kind for kind in StickyKind if kind is not StickyKind.USER)


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
        targets, canary = _read_targets(fields, assembly)
        return Rule(
            name=fields.get("name", full_name, default_name),
            matches=read_matches(fields),
            targets=targets,
            fallback=fields.get("fallback", one_or_more(target_kind(assembly, weighted=False)), ()),
            timeouts=fields.get("timeout", read_timeouts, Timeouts()),
            retries=fields.get("retries", read_retries),
            shadow=fields.get("shadow", shadow_kind(assembly)),
            canary=canary,
            sticky=_read_sticky(fields, targets),
            enabled=fields.get("enabled", boolean, default=True),
            description=fields.get("description", prose, ""),
            origin=fields.place.origin(),
        )


def _read_targets(fields: Fields, assembly: Assembly) -> tuple[tuple[Target, ...], Canary | None]:
    """Targets with their weights, or a stable one and a canary."""
    fields.exclusive(("targets", "canary"))
    if fields.filled("canary") is not None:
        fields.node_of("targets")
        return fields.get("canary", canary_kind(assembly)) or ((), None)
    node = fields.required("targets")
    return () if node is None else _read_split(node, assembly), None


def _read_split(node: Node, assembly: Assembly) -> tuple[Target, ...]:
    if isinstance(node, ListNode) and not node.items:
        mismatch(node, assembly.problems, "at least one target")
        return ()
    targets = one_or_more(target_kind(assembly, weighted=True))(node, assembly.problems) or ()
    if targets and not any(target.weight for target in targets):
        message = "all weights are 0, so no target could ever be chosen"
        assembly.problems.error(node.place, Code.NO_WEIGHT, message)
    return targets


# --- sticky splits ----------------------------------------------------------------------------------------------------


def _read_sticky(fields: Fields, targets: tuple[Target, ...]) -> Sticky | None:
    """What keeps a caller on one side of a split; alone, a target has no sides."""
    node, sticky = fields.filled("sticky"), fields.get("sticky", _sticky)
    if node is not None and sticky is not None and len(targets) == 1:
        message = "sticky has no effect: there is only one target"
        fields.problems.warning(node.place, Code.WITHOUT_EFFECT, message)
    return sticky


def _sticky(node: Node, problems: Problems) -> Sticky | None:
    """The word for the user, or a mapping that names a header, a query parameter or a cookie."""
    words = ", ".join(kind.value for kind in _NAMED)
    if isinstance(node, ScalarNode) and node.text == STICKY_USER:
        return Sticky(StickyKind.USER)
    fields = fields_of(node, problems, f"the word {STICKY_USER}, or a mapping with one of {words}")
    if fields is None:
        return None
    with fields:
        given = [kind for kind in _NAMED if fields.node_of(kind.value) is not None]
        found = fields.require(given[0].value, name) if len(given) == 1 else None
    if len(given) != 1:
        said = " and ".join(kind.value for kind in given) or "none"
        problems.error(node.place, Code.CONFLICTING_KEYS, f"expected exactly one of {words}; found {said}")
    return None if found is None else _named(given[0], found, node, problems)


def _named(kind: StickyKind, written: str, node: Node, problems: Problems) -> Sticky | None:
    """Headers and cookies are called by tokens (RFC 9110 section 5.6.2, RFC 6265 section 4.1.1)."""
    if kind is not StickyKind.QUERY and not is_header_name(written):
        problems.error(node.place, Code.BAD_VALUE, f"expected the name of a {kind.value}: letters, digits and hyphens")
        return None
    return Sticky(kind, written.lower() if kind is StickyKind.HEADER else written)
