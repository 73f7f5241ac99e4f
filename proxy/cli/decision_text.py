"""A decision as people and programs read it."""

from proxy.cli.printing import Page, place_of
from proxy.routing import wording
from proxy.routing.decision import DecidedTarget, Decision, SentModel
from proxy.routing.explain import Finding, Verdict
from proxy.routing.wording import header_value, percent

MOST_VERDICTS = 20
"""Rules that did not match and are told without being asked for."""


def print_decision(page: Page, decision: Decision, expected: str | None, *, verbose: bool) -> None:
    """The lines that Mixtrain prints, then all that is settled for this request."""
    if decision.matched:
        page.line(f"✓ Matched Rule: {decision.rule}", style="bold green")
        page.line(f"Strategy: {decision.strategy}")
        page.line(f"Selected Targets: {decision.selected}")
    else:
        page.line("✗ No rules matched", style="bold red")
    page.line()
    page.line(f"Explanation: {explanation(decision, expected)}")
    page.line()
    _print_place(page, decision)
    if decision.matched:
        _print_targets(page, decision)
    if verbose:
        _print_all_verdicts(page, decision)
    else:
        _print_failures(page, decision)


def explanation(decision: Decision, expected: str | None) -> str:
    """Why, and whether it is as expected."""
    if expected is None or decision.is_by(expected):
        return decision.explanation
    more = "" if decision.matched else ", no rule matched"
    return f"{decision.explanation} (expected '{expected}'{more})"


def _print_place(page: Page, decision: Decision) -> None:
    request = decision.request
    model = "no model" if request.model is None else f"model {wording.quoted(request.model)}"
    page.line(f"Request: {request.method} {request.path}, {model}")
    if not decision.matched:
        return
    kind = "" if decision.kind in {"", "route"} else f" ({decision.kind})"
    page.line(f"Route: {decision.route}{kind}")
    place = place_of(decision.origin)
    page.line(f"Rule: {decision.rule}{f' at {place}' if place else ''}")
    if decision.description:
        page.line(f"Description: {decision.description}")


# --- targets ----------------------------------------------------------------------------------------------------------


def _roles(decision: Decision) -> list[tuple[str, DecidedTarget]]:
    """The targets, each with the part it plays."""
    roles = [(percent(target.share), target) for target in decision.targets]
    roles += [(f"fallback {place}", target) for place, target in enumerate(decision.fallback, 1)]
    return roles if decision.shadow is None else [*roles, ("shadow", decision.shadow)]


def _print_targets(page: Page, decision: Decision) -> None:
    roles = _roles(decision)
    page.table(
        "Targets",
        ("Share", "Server", "Model sent", "Endpoints"),
        [(role, target.server, models(target.models), _endpoints(target)) for role, target in roles],
    )
    terms = dict.fromkeys((target.server, target.timeouts, target.retries) for _, target in roles)
    page.table(
        "Timeouts and retries",
        ("Server", "Connect", "First byte", "Idle", "Total", "Retries"),
        [
            (
                server,
                wording.duration(limits.connect),
                wording.duration(limits.first_byte),
                wording.duration(limits.idle),
                wording.duration(limits.total),
                wording.retries(tries),
            )
            for server, limits, tries in terms
        ],
    )
    _print_remarks(page, [target for _, target in roles])


def _print_remarks(page: Page, targets: list[DecidedTarget]) -> None:
    """What the proxy answers by itself, and which headers it sets."""
    answers = dict.fromkeys((target.answer.status, target.answer.reason) for target in targets if target.answer)
    if answers:
        page.heading("Not asked")
        for status, reason in answers:
            page.line(f"{status}: {reason}", 2, "red")
    headers = dict.fromkeys((target.server, target.headers) for target in targets if target.headers)
    if headers:
        page.heading("Headers set")
        for server, names in headers:
            page.line(f"{server}: {', '.join(names)}", 2)


def models(sent: tuple[SentModel, ...]) -> str:
    """The names that are sent upstream, with their shares where there are several."""
    if len(sent) == 1:
        return "-" if sent[0].name is None else sent[0].name
    return ", ".join(f"{model.name} {percent(model.share)}" for model in sent)


def _endpoints(target: DecidedTarget) -> str:
    return wording.listed(target.endpoints or (), "none")


# --- rules ------------------------------------------------------------------------------------------------------------


def _print_failures(page: Page, decision: Decision) -> None:
    failed = [verdict for verdict in decision.tried if not verdict.holds]
    if failed:
        page.heading("Not matched")
    for verdict in failed[:MOST_VERDICTS]:
        page.line(f"{verdict.route}/{verdict.rule}", 2)
        for match in verdict.matches:
            page.line(next(_found(finding) for finding in match if not finding.holds), 4)
    if len(failed) > MOST_VERDICTS:
        page.line(f"and {wording.counted(len(failed) - MOST_VERDICTS, 'more rule')} (--verbose tells all)", 2)
    _print_disabled(page, decision)


def _print_disabled(page: Page, decision: Decision) -> None:
    if decision.disabled:
        page.heading("Disabled")
        page.line(", ".join(decision.disabled), 2)


def _print_all_verdicts(page: Page, decision: Decision) -> None:
    page.heading("Rules tried")
    for place, verdict in enumerate(decision.tried, 1):
        page.line(f"{place}. {_mark(verdict.holds)} {verdict.route}/{verdict.rule}", 2)
        _print_matches(page, verdict)
    if not decision.tried:
        page.line("none", 2)
    _print_disabled(page, decision)


def _print_matches(page: Page, verdict: Verdict) -> None:
    if not verdict.matches:
        page.line(verdict.reason, 5)
    for place, match in enumerate(verdict.matches):
        if place:
            page.line("or", 5)
        for finding in match:
            page.line(_found(finding), 5, "" if finding.holds else "dim")


def _found(finding: Finding) -> str:
    return f"{_mark(finding.holds)} {finding.condition} (it is {finding.found})"


def _mark(holds: bool) -> str:
    return "✓" if holds else "✗"


# --- for programs -----------------------------------------------------------------------------------------------------


def decision_json(decision: Decision, expected: str | None) -> dict[str, object]:
    """The decision as a JSON object. Of the request's body it has the model alone."""
    request = decision.request
    answer: dict[str, object] = {
        "matched": decision.matched,
        "route": decision.route,
        "rule": decision.rule,
        "strategy": decision.strategy or None,
        "selected_targets": decision.selected,
        "explanation": explanation(decision, expected),
        "request": {
            "method": request.method,
            "path": request.path,
            "model": request.model,
            "headers": {name: header_value(name, value) for name, value in request.headers.items()},
            "query": request.parameters,
        },
        "targets": decision.targets,
        "fallback": decision.fallback,
        "shadow": decision.shadow,
        "tried": decision.tried,
        "disabled": decision.disabled,
        "origin": decision.origin if decision.matched else None,
    }
    if expected is not None:
        answer |= {"expected": expected, "matched_expected": decision.is_by(expected)}
    return answer
