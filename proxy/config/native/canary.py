"""The reader of a native rule's canary: a stable target, a new one on trial beside it, and how that is judged."""

from dataclasses import replace
from itertools import pairwise

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.native.parts import HEAVIEST
from proxy.config.native.targets import percentage, target_kind
from proxy.config.problems import Problems
from proxy.config.spec import Analysis, Canary, Target
from proxy.config.text.nodes import ListNode, Node, ScalarNode
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import Kind, duration, listed, mismatch, positive, whole

WITHOUT_SPLIT = 10
"""The canary's share in per cent where nothing says another."""

MOST_REQUESTS = 1_000_000_000
_WHOLE = 100
_CANARY, _ANALYSIS = Canary(), Analysis(0.0, 0.0)

# The stable target and the canary with their weights, and how the canary goes on.
Trial = tuple[tuple[Target, ...], Canary]
_Split = tuple[int, int]


def canary_kind(assembly: Assembly) -> Kind[Trial]:
    """Two targets, the stable one first, and what is said of the trial."""
    kind = target_kind(assembly, weighted=False)

    def read(node: Node, problems: Problems) -> Trial | None:
        fields = fields_of(node, problems, "a mapping with stable, canary, split, analysis, steps")
        if fields is None:
            return None
        with fields:
            stable = fields.require("stable", kind)
            new = fields.require("canary", kind)
            split = fields.get("split", _read_split)
            analysis = fields.get("analysis", read_analysis)
            steps = fields.get("steps", _read_steps, _CANARY.steps)
            _check_steps(fields, split, steps)
        if stable is None or new is None:
            return None
        one, other = _shares(split, steps)
        return (replace(stable, weight=one), replace(new, weight=other)), Canary(analysis, steps)

    return read


def _shares(split: _Split | None, steps: tuple[int, ...]) -> _Split:
    if steps:
        return _WHOLE - steps[0], steps[0]
    return (_WHOLE - WITHOUT_SPLIT, WITHOUT_SPLIT) if split is None else split


def _read_split(node: Node, problems: Problems) -> _Split | None:
    """The canary's share in per cent, or the weight of each; where one of them is left out, the rest of a hundred."""
    if isinstance(node, ScalarNode):
        share = whole(0, _WHOLE)(node, problems)
        return None if share is None else (_WHOLE - share, share)
    fields = fields_of(node, problems, "the canary's share in per cent, or a mapping with stable and canary")
    if fields is None:
        return None
    with fields:
        before = problems.errors
        stable, canary = fields.get("stable", whole(0, HEAVIEST)), fields.get("canary", whole(0, HEAVIEST))
    if problems.errors > before:
        return None
    return _completed(node, stable, canary, problems)


def _completed(node: Node, stable: int | None, canary: int | None, problems: Problems) -> _Split | None:
    if stable is None and canary is None:
        problems.error(node.place, Code.MISSING_KEY, "expected stable, canary or both, found neither")
        return None
    split = _WHOLE - (canary or 0) if stable is None else stable, _WHOLE - (stable or 0) if canary is None else canary
    if min(split) < 0:
        problems.error(node.place, Code.BAD_VALUE, "a share of more than 100 leaves no rest for the other: give both")
        return None
    if not any(split):
        problems.error(node.place, Code.NO_WEIGHT, "all shares are 0, so no target could ever be chosen")
        return None
    return split


def read_analysis(node: Node, problems: Problems) -> Analysis | None:
    """How the canary is judged against the stable target."""
    fields = fields_of(node, problems, "a mapping with threshold, interval, min_requests, metrics")
    if fields is None:
        return None
    with fields:
        threshold = fields.require("threshold", percentage)
        interval = fields.require("interval", duration)
        least = fields.get("min_requests", whole(1, MOST_REQUESTS), _ANALYSIS.min_requests)
        ttft, tpot = fields.get("metrics", _read_metrics, (_ANALYSIS.ttft, _ANALYSIS.tpot))
    return None if threshold is None or interval is None else Analysis(threshold, interval, least, ttft, tpot)


def _read_metrics(node: Node, problems: Problems) -> tuple[float | None, float | None] | None:
    """How many times the stable target's time the canary may take."""
    fields = fields_of(node, problems, "a mapping with ttft and tpot")
    if fields is None:
        return None
    with fields:
        return fields.get("ttft", positive), fields.get("tpot", positive)


def _read_steps(node: Node, problems: Problems) -> tuple[int, ...] | None:
    """Shares in per cent, each above the one before."""
    if not isinstance(node, ListNode) or not node.items:
        mismatch(node, problems, "a list of shares in per cent, such as [1, 5, 25, 50, 100]")
        return None
    found = listed(whole(1, _WHOLE))(node, problems)
    if found is not None and any(one >= other for one, other in pairwise(found)):
        problems.error(node.place, Code.BAD_VALUE, "each step is above the one before it")
        return None
    return found


def _check_steps(fields: Fields, split: _Split | None, steps: tuple[int, ...]) -> None:
    """Steps are taken on evidence, and the first of them is the split."""
    node, problems = fields.filled("split"), fields.problems
    written = fields.filled("steps")
    if written is not None and fields.filled("analysis") is None:
        message = "the key 'analysis' is missing: without it nothing says when the next step may be taken"
        problems.error(fields.place, Code.MISSING_KEY, message)
    if node is not None and split is not None and steps and split != (_WHOLE - steps[0], steps[0]):
        message = f"split has no effect: the steps begin at {steps[0]} per cent"
        problems.warning(node.place, Code.WITHOUT_EFFECT, message)
