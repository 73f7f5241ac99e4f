"""The canary of a ModelRoute as MatrixInfer documents it: how a stable and a new server share what both match."""

from dataclasses import dataclass, replace

from proxy.config.codes import Code
from proxy.config.kubernetes.values import is_on
from proxy.config.problems import Problems
from proxy.config.spec import Analysis, Canary, Rule
from proxy.config.text.nodes import Node, Place
from proxy.config.values.fields import fields_of
from proxy.config.values.kinds import duration, whole

# A route that has no weight counts as 100.
WITHOUT_WEIGHT = 100
_UNSAID = (WITHOUT_WEIGHT, WITHOUT_WEIGHT)
_PERCENT = whole(0, 100)


@dataclass(frozen=True, slots=True)
class CanarySection:
    """The section as asked for. `split` holds the shares of the stable server and of the canary."""

    place: Place
    enabled: bool
    split: tuple[int, int] | None = None
    split_place: Place | None = None
    analysis: Analysis | None = None


def read_canary(node: Node, problems: Problems) -> CanarySection | None:
    """Whether it is enabled, its split, and how it would be judged."""
    fields = fields_of(node, problems, "a mapping with enabled, trafficSplit and analysis", strict=False)
    if fields is None:
        return None
    with fields:
        enabled = is_on(fields)
        split = fields.get("trafficSplit", _read_split)
        analysis = fields.get("analysis", _read_analysis)
        split_node = fields.filled("trafficSplit")
    return CanarySection(node.place, enabled, split, None if split_node is None else split_node.place, analysis)


def _read_split(node: Node, problems: Problems) -> tuple[int, int] | None:
    """Shares in per cent; where one of them is left out, the rest."""
    fields = fields_of(node, problems, "a mapping with stable and canary", strict=False)
    if fields is None:
        return None
    with fields:
        stable, canary = fields.get("stable", _PERCENT), fields.get("canary", _PERCENT)
        written = [fields.filled("stable"), fields.filled("canary")]
    if not any(written):
        problems.error(node.place, Code.MISSING_KEY, "expected stable, canary or both, found neither")
        return None
    split = 100 - (canary or 0) if stable is None else stable, 100 - (stable or 0) if canary is None else canary
    if not any(split):
        problems.error(node.place, Code.NO_WEIGHT, "all shares are 0, so no target could ever be chosen")
        return None
    return split


def _read_analysis(node: Node, problems: Problems) -> Analysis | None:
    """The success in per cent that the canary must reach, over each interval."""
    fields = fields_of(node, problems, "a mapping with threshold and interval", strict=False)
    if fields is None:
        return None
    with fields:
        threshold = fields.require("threshold", _PERCENT)
        interval = fields.require("interval", duration)
    return None if threshold is None or interval is None else Analysis(float(threshold), interval)


def with_canary(rules: list[Rule], canary: CanarySection) -> list[Rule]:
    """The rules, each pair of targets being split between the first, which is stable, and the second, the canary."""
    return [_split(rule, canary) if len(rule.targets) == 2 else rule for rule in rules]


def _split(rule: Rule, canary: CanarySection) -> Rule:
    if canary.split is None:
        return replace(rule, canary=Canary(canary.analysis))
    targets = tuple(replace(target, weight=share) for target, share in zip(rule.targets, canary.split, strict=True))
    return replace(rule, targets=targets, canary=Canary(canary.analysis))


def check_canary(canary: CanarySection, rules: list[Rule], problems: Problems) -> None:
    """Tell of a canary that has nothing to split, and of weights that its own split puts aside."""
    pairs = [rule for rule in rules if len(rule.targets) == 2]
    if not pairs:
        message = (
            "a canary needs exactly two routes with the same match, the stable server's first and the canary's second; "
            "here no match stands in exactly two routes"
        )
        problems.error(canary.place, Code.MISSING_KEY, message)
    for rule in pairs:
        weights = tuple(target.weight for target in rule.targets)
        if canary.split is not None and canary.split_place is not None and weights not in {canary.split, _UNSAID}:
            stable, new = canary.split
            message = f"the split {stable} to {new} wins over the weights {weights[0]} and {weights[1]} of the routes"
            problems.hint(canary.split_place, Code.WITHOUT_EFFECT, message)
