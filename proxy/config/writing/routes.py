"""Routes and rules, written as the native form has them."""

from collections.abc import Sequence

from proxy.config.joining import LAST
from proxy.config.native.canary import WITHOUT_SPLIT
from proxy.config.native.routes import LAST_WORD
from proxy.config.native.rules import STICKY_USER
from proxy.config.spec import Analysis, Canary, Route, Rule, Shadow, Sticky, StickyKind, Target, Timeouts, TokenLimit
from proxy.config.values.units import format_size
from proxy.config.writing.access import auth_tree, limits_tree
from proxy.config.writing.matches import match_tree
from proxy.config.writing.values import duration, one_or_list, optional, retries, said, timeouts, unless
from proxy.config.writing.yaml_text import Block, Scalar, Tree, boolean, number, text

_ROUTE = Route("", ())
_RULE = Rule("", ())
_SHADOW = Shadow(Target(""))
_ANALYSIS = Analysis(0.0, 0.0)
_TOKEN_LIMIT = TokenLimit(None, None)
_NOWHERE_WIDER = Timeouts()


def routes_tree(routes: Sequence[Route]) -> Tree:
    """All routes, in the order in which they are asked."""
    return Block([_route(route) for route in routes], spaced=True)


def _route(route: Route) -> Tree:
    rules = [_rule(rule, f"rule-{place}") for place, rule in enumerate(route.rules, 1)]
    return Block(
        said(
            name=text(route.name),
            description=unless(route.description, _ROUTE.description, text),
            kind=unless(route.kind, _ROUTE.kind, text),
            models=one_or_list(route.models),
            adapters=one_or_list(route.adapters),
            priority=unless(route.priority, _ROUTE.priority, _priority),
            token_limit=optional(route.token_limit, _token_limit),
            auth=optional(route.auth, auth_tree),
            limits=limits_tree(route.limits),
            rules=None if route.fallback and not rules else Block(rules),
            fallback=_fallback(route.fallback),
        )
    )


def _priority(priority: int) -> Tree:
    return text(LAST_WORD) if priority == LAST else number(priority)


def _token_limit(limit: TokenLimit) -> Tree:
    return said(
        input=optional(limit.input_tokens, number),
        output=optional(limit.output_tokens, number),
        unit=unless(limit.unit, _TOKEN_LIMIT.unit, text),
        redis=optional(limit.redis, text),
    )


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(rule: Rule, default_name: str) -> Tree:
    matches = [match_tree(match) for match in rule.matches]
    return Block(
        said(
            name=unless(rule.name, default_name, text),
            description=unless(rule.description, _RULE.description, text),
            enabled=unless(rule.enabled, _RULE.enabled, boolean),
            match=matches[0] if len(matches) == 1 else None,
            matches=matches if len(matches) > 1 else None,
            targets=_targets(rule.targets) if rule.canary is None else None,
            canary=None if rule.canary is None else _canary(rule.targets, rule.canary),
            fallback=_fallback(rule.fallback),
            timeout=timeouts(rule.timeouts, _NOWHERE_WIDER),
            retries=optional(rule.retries, retries),
            shadow=optional(rule.shadow, _shadow),
            sticky=optional(rule.sticky, _sticky),
        )
    )


def _targets(targets: Sequence[Target]) -> Tree:
    written = [_target(target) for target in targets]
    return text(targets[0].server) if targets == (Target(targets[0].server),) else written


def _fallback(targets: Sequence[Target]) -> Tree | None:
    """Fallbacks have no weights: they are taken in order."""
    return [_target(target, weighted=False) for target in targets] or None


def _target(target: Target, *, weighted: bool = True) -> Tree:
    more = said(
        weight=unless(target.weight, 1, number) if weighted else None,
        model=optional(target.model, text),
        timeout=timeouts(target.timeouts, _NOWHERE_WIDER),
        retries=optional(target.retries, retries),
    )
    return {"server": text(target.server), **more} if more else text(target.server)


def _shadow(shadow: Shadow) -> Tree:
    more = said(
        model=optional(shadow.target.model, text),
        timeout=timeouts(shadow.target.timeouts, _NOWHERE_WIDER),
        max_in_flight=unless(shadow.max_in_flight, _SHADOW.max_in_flight, number),
        percent=unless(shadow.percent, _SHADOW.percent, number),
        max_body=unless(shadow.max_body, _SHADOW.max_body, lambda size: Scalar(format_size(size))),
    )
    return {"server": text(shadow.target.server), **more} if more else text(shadow.target.server)


def _canary(targets: Sequence[Target], canary: Canary) -> Tree:
    """The stable target, the one on trial, and their weights, which the steps say where there are any."""
    stable, new = targets
    return said(
        stable=_target(stable, weighted=False),
        canary=_target(new, weighted=False),
        split=None if canary.steps else _split(stable.weight, new.weight),
        analysis=optional(canary.analysis, _analysis),
        steps=[number(step) for step in canary.steps] or None,
    )


def _split(stable: int, new: int) -> Tree | None:
    if stable + new == 100:
        return unless(new, WITHOUT_SPLIT, number)
    return said(stable=number(stable), canary=number(new))


def _analysis(analysis: Analysis) -> Tree:
    metrics = said(ttft=optional(analysis.ttft, number), tpot=optional(analysis.tpot, number))
    return said(
        threshold=number(analysis.threshold),
        interval=duration(analysis.interval),
        min_requests=unless(analysis.min_requests, _ANALYSIS.min_requests, number),
        metrics=metrics or None,
    )


def _sticky(sticky: Sticky) -> Tree:
    return text(STICKY_USER) if sticky.kind is StickyKind.USER else {sticky.kind.value: text(sticky.name)}
