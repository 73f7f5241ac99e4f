"""`penstock diff`: what differs between two configurations, and which recorded requests would go elsewhere."""

from enum import StrEnum
from typing import Annotated

import typer

from proxy.cli.coverage import log_words
from proxy.cli.printing import Page, fail, print_json
from proxy.cli.reading import opened, read_routes
from proxy.routing.changes import Action, Change
from proxy.routing.difference import Difference, compare
from proxy.routing.recording import Recording, RecordingError
from proxy.routing.rerouting import Move, Rerouting, reroute
from proxy.routing.wording import counted

_SIGNS = {Action.ADDED: "+", Action.REMOVED: "-", Action.CHANGED: "~", Action.MOVED: "~"}
_STYLES = {Action.ADDED: "green", Action.REMOVED: "red", Action.CHANGED: "yellow", Action.MOVED: "yellow"}
UNUSABLE = 2


class Format(StrEnum):
    """How the difference is printed: for people or for programs."""

    TEXT = "text"
    JSON = "json"


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A route file, a folder, a glob or a settings file.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, as it is to become.")],
    requests: Annotated[
        str | None,
        typer.Option(
            "--requests",
            metavar="FILE",
            help="Requests to route by both: a JSON array, JSON lines or an access log; - is standard input.",
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the difference.")] = Format.TEXT,
) -> None:
    """Tell what was added, removed, changed and moved between two configurations, and what that does to requests.

    Exit status, as diff has it: 0 when nothing differs; 1 when something does; 2 when something cannot be read, or a
    configuration has errors.
    """
    before, after = read_routes([old], UNUSABLE), read_routes([new], UNUSABLE)
    difference = compare(before.config, after.config)
    rerouting = None
    if requests is not None:
        try:
            with opened(requests, UNUSABLE) as pieces:
                rerouting = reroute(before.table, after.table, Recording(pieces))
        except RecordingError as fault:
            fail(f"{requests}: {fault}", UNUSABLE)
    if output is Format.JSON:
        print_json(difference_json(difference, rerouting))
    else:
        _print(Page(), difference, rerouting)
    raise typer.Exit(1 if difference else 0)


def _print(page: Page, difference: Difference, rerouting: Rerouting | None) -> None:
    for change in difference.changes:
        page.line(change_line(change), style=_STYLES[change.action])
    if difference:
        page.line()
    page.line(_summary(difference), style="bold")
    if rerouting is not None:
        _print_rerouting(page, rerouting)


def change_line(change: Change) -> str:
    """A change on one line: its sign, its part, and in what it differs."""
    details = f": {', '.join(change.details)}" if change.details else ""
    return f"{_SIGNS[change.action]} {change.subject}{details}"


def _summary(difference: Difference) -> str:
    told = [f"{difference.count(action)} {action.value}" for action in Action if difference.count(action)]
    return ", ".join(told) or "no difference"


def _print_rerouting(page: Page, rerouting: Rerouting) -> None:
    page.heading(f"{rerouting.moved:,} of {counted(rerouting.total, 'request')} would go elsewhere")
    for move in rerouting.moves:
        page.line(move_line(move, rerouting.total), 2)
    if rerouting.logged:
        page.heading("From the access log")
        numbers = (rerouting.logged, rerouting.differing, rerouting.left_out, rerouting.unreadable)
        for line in log_words(*numbers):
            page.line(line, 2)


def move_line(move: Move, total: int) -> str:
    """A move on one line: how many requests, from where to where, and one of them."""
    if move.old == move.new:
        way = f"stay with {move.new}, whose targets differ"
    elif move.new is None:
        way = f"{move.old} → no rule (newly unmatched)"
    elif move.old is None:
        way = f"no rule → {move.new} (newly matched)"
    else:
        way = f"{move.old} → {move.new}"
    return f"{move.requests:,} of {counted(total, 'request')}: {way} (e.g. {move.example})"


def difference_json(difference: Difference, rerouting: Rerouting | None) -> dict[str, object]:
    """The difference as a JSON object."""
    return {
        "differs": bool(difference),
        "changes": [
            {
                "action": change.action,
                "part": change.part,
                "route": change.route,
                "name": change.name,
                "details": change.details,
            }
            for change in difference.changes
        ],
        "requests": rerouting,
    }
