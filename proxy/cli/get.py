"""`penstock get`: servers, routes and rewrites as they stand in what runs, with their documents' status."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, NamedTuple, NoReturn, assert_never

import msgspec
import typer
import yaml

from proxy.cli.admin_client import AdminAddress, admin_address, ask, decoded
from proxy.cli.printing import Page, fail, print_json
from proxy.cli.validate import shown_path
from proxy.runtime.resources import Condition, Resource

NOTHING = "-"

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_MOST_SHOWN = 3  # names in a line below the table


class Kind(StrEnum):
    """What is listed."""

    SERVERS = "servers"
    ROUTES = "routes"
    REWRITES = "rewrites"


class Output(StrEnum):
    """How it is told: as a table, as one with more columns, or for programs."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"


class Servers(msgspec.Struct, frozen=True):
    """All servers, as the admin API lists them."""

    servers: list[Resource]


class Routes(msgspec.Struct, frozen=True):
    """All routes."""

    routes: list[Resource]


class Rewrites(msgspec.Struct, frozen=True):
    """All rewrites."""

    rewrites: list[Resource]


class Column(NamedTuple):
    """A column of a table."""

    head: str
    cell: Callable[[Resource], object]
    wide: bool = False


def get(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One of them: chat, or namespace/name.", show_default=False),
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to tell it.")] = Output.TABLE,
    admin: Annotated[
        str | None,
        typer.Option("--admin", metavar="URL", help="The admin address, where no settings file tells it."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("-c", "--config", envvar="PENSTOCK_CONFIG", metavar="FILE", help="The settings file."),
    ] = None,
) -> None:
    """Tell how servers, routes or rewrites stand; what runs is asked at its admin address.

    Exit status: 0; 1 when nobody answers there, or nothing has this name; 2 when the command is not understood.
    """
    address = admin_address(admin, config)
    listed = listing(kind, address)
    found = listed if name is None else named(kind, name, listed)
    match output:
        case Output.JSON:
            print_json(content_of(found, one=name is not None))
        case Output.YAML:
            content = content_of(found, one=name is not None)
            yaml.safe_dump(content, sys.stdout, sort_keys=False, allow_unicode=True, width=120)
        case Output.TABLE | Output.WIDE:
            show(kind, found, datetime.now(UTC), wide=output is Output.WIDE)
        case _:
            assert_never(output)


# --- which ------------------------------------------------------------------------------------------------------------


def listing(kind: Kind, address: AdminAddress) -> list[Resource]:
    """All of a kind, as what runs lists them. Leaves with 1 where nothing does."""
    body = ask(address, "GET", f"/{kind}")
    match kind:
        case Kind.SERVERS:
            return decoded(body, Servers, address).servers
        case Kind.ROUTES:
            return decoded(body, Routes, address).routes
        case Kind.REWRITES:
            return decoded(body, Rewrites, address).rewrites


def named(kind: Kind, name: str, listed: Sequence[Resource]) -> list[Resource]:
    """Those that the proxy calls so; else those that call themselves so. Leaves with 1 where there is none."""
    found = [resource for resource in listed if resource.name == name]
    return found or [resource for resource in listed if name in names_of(resource)] or refuse(kind, name, listed)


def names_of(resource: Resource) -> set[str]:
    """All that a resource is called."""
    metadata = resource.metadata
    return {resource.name, metadata.name, f"{metadata.namespace or 'default'}/{metadata.name}"}


def refuse(kind: Kind, name: str, listed: Sequence[Resource]) -> NoReturn:
    """Tell that nothing has this name."""
    near = get_close_matches(name, {known for resource in listed for known in names_of(resource)}, n=1)
    advice = f" (did you mean {near[0]!r}?)" if near else ""
    fail(f"there is no {kind.removesuffix('s')} {name!r}{advice}")


# --- for programs -----------------------------------------------------------------------------------------------------


def content_of(resources: Sequence[Resource], *, one: bool) -> object:
    """One resource as it is, or a list as Kubernetes has it."""
    content = [msgspec.to_builtins(resource) for resource in resources]
    return content[0] if one and len(content) == 1 else {"apiVersion": "v1", "kind": "List", "items": content}


# --- for people -------------------------------------------------------------------------------------------------------


def show(kind: Kind, resources: Sequence[Resource], now: datetime, *, wide: bool) -> None:
    """A table, and below it what does not hold."""
    page = Page()
    if not resources:
        page.line(f"There are no {kind}.")
        return
    columns = [column for column in columns_of(kind, now) if wide or not column.wide]
    rows = [[text_of(column.cell(resource)) for column in columns] for resource in resources]
    title = f"1 {kind.removesuffix('s')}" if len(resources) == 1 else f"{len(resources):,} {kind}"
    page.table(title, [column.head for column in columns], rows)
    complaints = list(complaints_of(resources))
    if complaints:
        page.line()
    for complaint in complaints:
        page.line(complaint)


def columns_of(kind: Kind, now: datetime) -> list[Column]:
    """The columns of a kind's table."""
    own = {
        Kind.SERVERS: [
            Column("ENDPOINTS", lambda one: share(one.status.available_endpoints, one.status.endpoints)),
            Column("MODEL", lambda one: one.model),
            Column("ROUTES", lambda one: one.status.active_routes, wide=True),
            Column("SERVICE", lambda one: one.status.service_endpoint, wide=True),
        ],
        Kind.ROUTES: [
            Column("ACTIVE", lambda one: share(one.status.active_routes, one.status.routes)),
            Column("MODELS", lambda one: ", ".join(one.models or ())),
        ],
        Kind.REWRITES: [
            Column("SERVER", lambda one: one.server),
            Column("MODELS", lambda one: ", ".join(one.models or ())),
        ],
    }
    return [
        Column("NAME", lambda one: one.name),
        Column("PHASE", lambda one: one.status.phase),
        *own[kind],
        Column("AGE", lambda one: age(one.metadata.creation_timestamp, now)),
        Column("KIND", lambda one: one.kind, wide=True),
        Column("ORIGIN", lambda one: place_of(one.origin), wide=True),
    ]


def text_of(cell: object) -> str:
    """A cell as it is shown."""
    return NOTHING if cell is None or cell == "" else str(cell)


def place_of(origin: str) -> str:
    """Where a resource stands, as it is reached from here."""
    file, colon, line = origin.rpartition(":")
    return f"{shown_path(file)}:{line}" if colon else shown_path(origin)


def share(part: int | None, whole: int | None) -> str:
    """So many of so many."""
    return f"{part or 0}/{whole or 0}"


def age(created: str, now: datetime) -> str:
    """How long ago a time was, in the largest unit in which there is a whole one. Clocks may differ by a little."""
    lived = (now - datetime.fromisoformat(created)) // timedelta(seconds=1)
    return next((f"{lived // seconds}{unit}" for unit, seconds in _UNITS if lived >= seconds), "0s")


def complaints_of(resources: Sequence[Resource]) -> Iterable[str]:
    """What does not hold, each once for all resources of which it does not."""
    said: dict[tuple[str, str], list[str]] = {}
    for resource in resources:
        for condition in told(resource):
            key = f"{condition.type}=False ({condition.reason})", condition.message
            said.setdefault(key, []).append(resource.name)
    for (reason, message), names in said.items():
        yield f"{several(names, len(resources))}: {reason}" + (f": {message}" if message else "")


def told(resource: Resource) -> list[Condition]:
    """The conditions that do not hold, without what follows from another one."""
    false = {condition.type: condition for condition in resource.status.conditions if condition.status == "False"}
    if "ResolvedRefs" in false:
        false.pop("EndpointsAvailable", None)
    ready = false.get("Ready")
    if ready is not None and any(each is not ready and each.reason == ready.reason for each in false.values()):
        del false["Ready"]
    return list(false.values())


def several(names: Sequence[str], of: int) -> str:
    """Names in a few words."""
    if len(names) > 1 and len(names) == of:
        return "all"
    if len(names) <= _MOST_SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_SHOWN])} and {len(names) - _MOST_SHOWN:,} more"
