"""`penstock coverage`: which rules a set of requests reaches, or an access log, and which are left out."""

from enum import StrEnum
from typing import Annotated

import typer

from proxy.cli.printing import Page, fail, print_json
from proxy.cli.reading import opened, read_routes
from proxy.routing.coverage import Coverage, LogFacts, measure_coverage
from proxy.routing.recording import Recording, RecordingError
from proxy.routing.wording import counted


class Format(StrEnum):
    """How the coverage is printed: for people or for programs."""

    TEXT = "text"
    JSON = "json"


def coverage(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Route files, folders, globs or settings files.")],
    requests: Annotated[
        str,
        typer.Argument(
            metavar="REQUESTS", help="A JSON array, JSON lines or an access log of Penstock; - is standard input."
        ),
    ],
    least: Annotated[
        float, typer.Option("--min", min=0, max=100, help="The lowest coverage that passes, in per cent.")
    ] = 80,
    output: Annotated[Format, typer.Option("--format", help="How to print the coverage.")] = Format.TEXT,
) -> None:
    """Count how many of the requests each rule takes. Nothing is sent.

    Exit status: 0 when enough rules are covered; 1 when they are not, when something cannot be read, or the
    configuration has errors; 2 when the command is not understood.
    """
    routes = read_routes(paths)
    try:
        with opened(requests) as pieces:
            measured = measure_coverage(routes.table, Recording(pieces))
    except RecordingError as fault:
        fail(f"{requests}: {fault}")
    if output is Format.JSON:
        print_json(coverage_json(measured, least))
    else:
        _print(Page(), measured, least)
    raise typer.Exit(0 if measured.percentage >= least else 1)


def _print(page: Page, measured: Coverage, least: float) -> None:
    named = measured.named()
    page.table(
        "Rule Coverage Analysis",
        ("Metric", "Value"),
        [
            ("Total Requests", f"{measured.total_requests}"),
            ("Total Rules", f"{measured.total_rules}"),
            ("Covered Rules", f"{measured.covered_rules}"),
            ("Coverage Percentage", f"{measured.percentage:.1f}%"),
            ("Unmatched Requests", f"{measured.unmatched_requests}"),
        ],
    )
    rows = [(name, f"{rule.hits}{'' if rule.enabled else ' (disabled)'}") for name, rule in named.items()]
    page.table("Rule Hit Counts", ("Rule Name", "Hits"), rows)
    uncovered = [name for name, rule in named.items() if not rule.hits]
    if uncovered:
        page.heading(f"Uncovered Rules ({len(uncovered)}):")
        for name in uncovered:
            page.line(f"• {name}", 2)
    if measured.examples:
        page.heading("Requests that no rule takes, for example:")
        for example in measured.examples:
            page.line(f"line {example.line}: {example.request}", 2)
    if measured.log is not None:
        _print_log(page, measured.log)
    if measured.percentage < least:
        page.line()
        page.line(f"Warning: Rule coverage is below {least:g}% ({measured.percentage:.1f}%)", style="bold yellow")


def _print_log(page: Page, log: LogFacts) -> None:
    page.heading("From the access log")
    for line in log_words(log.lines, log.differing, log.left_out, log.unreadable):
        page.line(line, 2)
    if log.unjudged:
        page.line(f"Rules that ask for such things: {', '.join(log.unjudged)}", 2)


def log_words(lines: int, differing: int, left_out: int, unreadable: int) -> list[str]:
    """What is to be known of requests that came from an access log."""
    told = [
        "The log holds no headers, query strings and bodies, so conditions on them are judged as if there were none.",
        f"Of {counted(lines, 'line')}, {differing:,} name another rule than the one that they come to here.",
    ]
    if left_out:
        told.append(f"Left out: {counted(left_out, 'line')} about which no route was asked.")
    if unreadable:
        told.append(f"Left out: {counted(unreadable, 'line')} that cannot be read.")
    return told


def coverage_json(measured: Coverage, least: float) -> dict[str, object]:
    """The coverage as a JSON object, Mixtrain's keys first."""
    named = measured.named()
    return {
        "total_requests": measured.total_requests,
        "total_rules": measured.total_rules,
        "covered_rules": measured.covered_rules,
        "coverage_percentage": measured.percentage,
        "unmatched_requests": measured.unmatched_requests,
        "rule_hits": {name: rule.hits for name, rule in named.items()},
        "uncovered_rules": [name for name, rule in named.items() if not rule.hits],
        "disabled_rules": [name for name, rule in named.items() if not rule.enabled],
        "unmatched_examples": measured.examples,
        "log": measured.log,
        "min": least,
        "passes": measured.percentage >= least,
    }
