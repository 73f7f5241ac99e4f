"""A described configuration as a Markdown page, under the headings that Mixtrain's pages have."""

import re
from collections.abc import Iterator, Sequence

from proxy.cli.explain_text import overview, route_lines, server_lines, target_count, target_words, terms, trial_lines
from proxy.routing.description import Description, RouteDescription, RuleDescription
from proxy.telemetry.safe_text import escape_message

_SPECIAL = re.compile(r"([\\`*\[\]<>#|~])|(?<!\w)_|_(?!\w)")


def markdown(description: Description, files: Sequence[str]) -> str:
    """The page, without a line's end behind it."""
    return "\n".join(_lines(description, files))


def _lines(description: Description, files: Sequence[str]) -> Iterator[str]:
    routes = description.routes
    single = routes[0] if len(routes) == 1 else None
    yield f"# Routing Configuration: {escaped(single.name if single else ', '.join(files))}"
    if single and single.description:
        yield from ("", escaped(single.description))
    yield from ("", "## Overview", "")
    for name, value in overview(description, files):
        if name not in {"Name", "Description"}:
            yield f"- **{name}**: {escaped(value)}"
    yield from ("", escaped(description.order))
    for route in routes:
        yield from _route(route, single is not None)
    if description.servers:
        yield from ("", "## Servers")
    for server in description.servers:
        yield from ("", f"### {escaped(server.name)}", "")
        yield from _items(server_lines(server))


def _route(route: RouteDescription, single: bool) -> Iterator[str]:
    yield from ("", "## Rules" if single else f"## Route {escaped(route.name)}")
    facts = [line for line in route_lines(route) if not (single and line == route.description)]
    if facts:
        yield ""
        yield from _items(facts)
    for place, rule in enumerate(route.rules, 1):
        yield from _rule(place, rule)


def _rule(place: int, rule: RuleDescription) -> Iterator[str]:
    yield from ("", f"### {escaped(rule.name)} (Order: {place})", "")
    yield f"**Status**: {'✅ Enabled' if rule.enabled else '❌ Disabled'}  "
    yield f"**Strategy**: {rule.strategy}  "
    yield f"**Description**: {escaped(rule.description) or 'None'}"
    yield from ("", f"**Conditions** ({sum(map(len, rule.matches))}):", "")
    yield from _conditions(rule)
    yield from ("", f"**Targets** ({target_count(rule)}):", "")
    roles = [("", target) for target in rule.targets] + [("fallback ", target) for target in rule.fallback]
    roles += [] if rule.shadow is None else [("shadow ", rule.shadow)]
    for number, (role, target) in enumerate(roles, 1):
        weight = "" if target.weight is None else f" (weight: {target.weight})"
        more = escaped(target_words(target).removeprefix(target.server))
        copies = f", {rule.shadow_copies}" if target is rule.shadow and rule.shadow_copies is not None else ""
        yield f"{number}. {role}**{escaped(target.server)}**{more}{weight}{copies}"
    yield ""
    yield from _items(terms(rule))
    yield from _items(trial_lines(rule))


def _conditions(rule: RuleDescription) -> Iterator[str]:
    """Numbered, all of which must hold; or one line for each set of them, any of which is enough."""
    if not rule.matches:
        yield "None: it takes every request."
    elif len(rule.matches) == 1:
        yield from (f"{number}. {escaped(condition)}" for number, condition in enumerate(rule.matches[0], 1))
    else:
        yield from _items([f"any of: {' and '.join(match)}" for match in rule.matches])


def _items(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"- {escaped(line)}" for line in lines)


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", escape_message(text))
