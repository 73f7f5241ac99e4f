"""`penstock canary`: how canaries do, and what an operator can ask of one that runs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

import msgspec
import typer

from proxy.cli.admin_client import admin_address, ask, decoded
from proxy.cli.printing import Page, fail, print_json
from proxy.runtime.canary_status import CanaryStatus


class Action(StrEnum):
    """What is asked for."""

    LIST = "list"
    PROMOTE = "promote"
    ABORT = "abort"
    RESUME = "resume"


class Format(StrEnum):
    """How canaries are told: as a table, or for programs."""

    TABLE = "table"
    JSON = "json"


class Listing(msgspec.Struct, frozen=True):
    """All canaries, as the admin API lists them."""

    canaries: list[CanaryStatus]


def canary(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="route/rule, or the route where it has one canary.", show_default=False),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option("--admin", metavar="URL", help="The admin address, where no settings file tells it."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("-c", "--config", envvar="PENSTOCK_CONFIG", metavar="FILE", help="The settings file."),
    ] = None,
    output: Annotated[Format, typer.Option("--format", "-f", help="How to tell it.")] = Format.TABLE,
) -> None:
    """Tell how canaries do, or promote, abort or resume one; what runs is asked at its admin address.

    promote gives the canary everything, abort nothing; resume lets it begin again as its file says.

    Exit status: 0; 1 when nobody answers there, or what was asked is refused; 2 when the command is not understood.
    """
    if (name is None) is not (action is Action.LIST):
        fail("list takes no NAME" if action is Action.LIST else f"which canary? say: penstock canary {action} NAME", 2)
    address = admin_address(admin, config)
    if name is None:
        found = decoded(ask(address, "GET", "/canaries"), Listing, address).canaries
    else:
        query = urlencode({"name": name}, errors="surrogateescape")
        found = [decoded(ask(address, "POST", f"/canaries/{action}?{query}"), CanaryStatus, address)]
    show(found, output)


def show(canaries: list[CanaryStatus], output: Format) -> None:
    """Print them."""
    if output is Format.JSON:
        print_json(msgspec.to_builtins(canaries))
        return
    page = Page()
    if not canaries:
        page.line("There is no canary.")
        return
    head = ("NAME", "PHASE", "SHARE", "STEP", "SINCE", "CANARY", "STABLE")
    title = "1 canary" if len(canaries) == 1 else f"{len(canaries):,} canaries"
    page.table(title, head, [row(each) for each in canaries])
    reasons = [each for each in canaries if each.reason]
    if reasons:
        page.line()
    for each in reasons:
        page.line(f"{each.name}: {each.reason}")


def row(status: CanaryStatus) -> tuple[str, ...]:
    """A line of the table."""
    return (
        status.name,
        status.phase,
        f"{status.weight:g}%",
        f"{status.step} of {len(status.steps)}" if status.step else "-",
        datetime.fromisoformat(status.since).strftime("%Y-%m-%d %H:%M:%SZ"),
        f"{status.canary.server}: {status.canary.failures:,} of {status.canary.requests:,} failed",
        f"{status.stable.server}: {status.stable.failures:,} of {status.stable.requests:,} failed",
    )
