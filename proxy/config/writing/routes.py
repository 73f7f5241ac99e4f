"""Routes, rules and matches, written as the native form has them."""

from collections.abc import Callable, Sequence
from json import dumps, loads
from typing import assert_never

from proxy.config.joining import LAST
from proxy.config.native.routes import LAST_WORD
from proxy.config.spec import (
    Absent,
    Analysis,
    BodyCondition,
    Contains,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    MethodCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Route,
    Rule,
    Shadow,
    Suffix,
    Target,
    Timeouts,
    TokenLimit,
    ValueTest,
)
from proxy.config.text.scalars import resolved
from proxy.config.writing.values import duration, json_tree, one_or_list, optional, retries, said, timeouts, unless
from proxy.config.writing.yaml_text import Block, Scalar, Tree, boolean, number, text

_ROUTE = Route("", ())
_RULE = Rule("", ())
_SHADOW = Shadow(Target(""))
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
    matches = [_match(match) for match in rule.matches]
    return Block(
        said(
            name=unless(rule.name, default_name, text),
            description=unless(rule.description, _RULE.description, text),
            enabled=unless(rule.enabled, _RULE.enabled, boolean),
            match=matches[0] if len(matches) == 1 else None,
            matches=matches if len(matches) > 1 else None,
            targets=_targets(rule.targets),
            fallback=_fallback(rule.fallback),
            timeout=timeouts(rule.timeouts, _NOWHERE_WIDER),
            retries=optional(rule.retries, retries),
            shadow=optional(rule.shadow, _shadow),
            analysis=optional(rule.analysis, _analysis),
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
    )
    return {"server": text(shadow.target.server), **more} if more else text(shadow.target.server)


def _analysis(analysis: Analysis) -> Tree:
    return {"threshold": number(analysis.threshold), "interval": duration(analysis.interval)}


# --- matches ----------------------------------------------------------------------------------------------------------


def _match(match: Match) -> Tree:
    """All conditions of a match by what they ask of."""
    headers: dict[str, list[ValueTest]] = {}
    query: dict[str, list[ValueTest]] = {}
    body: dict[str, list[ValueTest]] = {}
    fields: list[Tree] = []
    single: dict[str, Tree] = {}
    for condition in match.conditions:
        match condition:
            case HeaderCondition(name, test):
                headers.setdefault(name, []).append(test)
            case QueryCondition(name, test):
                query.setdefault(name, []).append(test)
            case PathCondition(test):
                single["path"] = _path(test)
            case MethodCondition(methods):
                single["method"] = one_or_list(sorted(methods)) or []
            case BodyCondition(keys, test):
                body.setdefault(".".join(keys), []).append(test)
            case FieldCondition():
                fields.append(_field(condition))
            case _:
                assert_never(condition)
    return said(
        headers={name: _tests(tests, _test) for name, tests in headers.items()} or None,
        query={name: _tests(tests, _test) for name, tests in query.items()} or None,
        path=single.get("path"),
        method=single.get("method"),
        body={name: _tests(tests, _in_body) for name, tests in body.items()} or None,
        fields=fields or None,
    )


def _tests(tests: Sequence[ValueTest], write: Callable[[ValueTest], Tree]) -> Tree:
    """A single test by itself, several together."""
    return write(tests[0]) if len(tests) == 1 else {"all": [write(test) for test in tests]}


def _test(test: ValueTest) -> Tree:
    """An exact text by itself, any other test by its name."""
    if isinstance(test, Exact):
        return text(test.value)
    if isinstance(test, OrAbsent):
        return {**_named(test.test), "optional": boolean(True)}
    return _named(test)


def _in_body(test: ValueTest) -> Tree:
    """Exact texts that JSON has for numbers and words stand as those; a body's other values never look like them."""
    if isinstance(test, Exact) and is_word_of_json(test.value):
        return Scalar(test.value)
    return _test(test)


def is_word_of_json(value: str) -> bool:
    """The text is how JSON spells a number, true, false or null, and is read as that from a file, too."""
    found = resolved(value)
    return not isinstance(found, str) and dumps(found) == value


def _named(test: ValueTest) -> dict[str, Tree]:
    match test:
        case Exact(value):
            return {"exact": text(value)}
        case Prefix(value):
            return {"prefix": text(value)}
        case Suffix(value):
            return {"suffix": text(value)}
        case Contains(value):
            return {"contains": text(value)}
        case Regex(pattern):
            return {"regex": text(pattern)}
        case Present():
            return {"present": boolean(True)}
        case Absent():
            return {"absent": boolean(True)}
        case OrAbsent(inner):
            return _named(inner)
        case _:
            assert_never(test)


def _path(test: ValueTest) -> Tree:
    """A bare path is exact, and a prefix where it ends in `*`. A path begins with /; others have to be named."""
    match test:
        case Exact(value) if not value.endswith("*") and value.startswith("/"):
            return text(value)
        case Prefix(value) if value.startswith("/") or not value:
            return text(f"{value}*")
        case OrAbsent(inner):
            # There always is a path.
            return _path(inner)
        case _:
            return _named(test)


def _field(condition: FieldCondition) -> Tree:
    value = None if condition.value == "null" and condition.operator.value.endswith("exists") else condition.value
    return said(
        field=text(condition.field),
        operator=text(condition.operator.value),
        value=None if value is None else json_tree(loads(value)),
    )
