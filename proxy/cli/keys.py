"""`penstock keys`: make, show and revoke API keys in a key file."""

import os
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.access.key_file import HIGHEST_PRIORITY, Key, read_key_file, read_key_text
from proxy.access.keys import digest_of, make_key
from proxy.cli.key_edits import EditError, Entry, created, parse, with_key, without_key
from proxy.cli.key_store import Change, change_file
from proxy.cli.printing import Page, fail, print_json, warn
from proxy.cli.validate import shown_path
from proxy.config.access_spec import UNITS, Counted, Limit
from proxy.config.files import reason
from proxy.config.problems import Problems
from proxy.config.settings import locate_settings
from proxy.config.text.nodes import JsonValue
from proxy.config.text.scalars import resolved
from proxy.config.values.kinds import alternatives
from proxy.config.values.units import UnitError, parse_duration

FILE = "keys.yaml"
_SHOWN_DIGITS = 8
_COUNTED = tuple(counted.value for counted in Counted)
_ISO_DATE = re.compile(r"[0-9]{4}-")
_LIMIT = re.compile(rf"({'|'.join(_COUNTED)})=([0-9]+(?:\.[0-9]+)?)/({'|'.join(UNITS)})")

FileOption = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help=f"The key file; if not given, {FILE} beside the settings file (PENSTOCK_CONFIG, ./penstock.yaml or "
        f"./config/penstock.yaml), or here where there is none.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name.")]


class Output(StrEnum):
    """How keys are shown."""

    TABLE = "table"
    JSON = "json"


def keys() -> typer.Typer:
    """The commands below `penstock keys`."""
    group = typer.Typer(
        add_completion=False, no_args_is_help=True, help="Make, show and revoke API keys. Workers notice by themselves."
    )
    group.command("create")(create)
    group.command("list")(show)
    group.command("revoke")(revoke)
    return group


def create(
    name: Name,
    file: FileOption = None,
    tier: Annotated[str | None, typer.Option("--tier", help="The caller's tier, user.tier in conditions.")] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="A model it may use, or a glob; again for more. All if none.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            help="How long it is good, from 1s to 366d and with its unit, such as 12h or 90d; or until when, as "
            "2027-01-31 or 2027-01-31T18:00:00Z (UTC where it names no zone). For ever if not given.",
        ),
    ] = None,
    limits: Annotated[
        list[str] | None, typer.Option("--limit", help='How much, such as "requests=100/minute"; again for more.')
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", help="More of its caller, as KEY=VALUE; again for more.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="Its requests' priority where they queue.")] = 0,
) -> None:
    """Make a key and print it, alone on standard output: KEY=$(penstock keys create NAME). It is shown this once.

    The file keeps its SHA-256, and all else that it holds, comments too. Exits with 1 where that cannot be.
    """
    file = _located(file)
    now = time.time()
    asked: dict[str, JsonValue] = {
        "expires": None if expires is None else _written(_end(expires, now)),
        "tier": None if tier is None else _literal(tier),
        "metadata": dict(_pair(text) for text in metadata or ()),
        "models": [_literal(model) for model in models or ()],
        "limits": [_limit(text) for text in limits or ()],
        "priority": _priority(priority),
    }
    key = make_key()
    entry: dict[str, JsonValue] = {
        "name": _literal(name),
        "sha256": digest_of(key.encode()).hex(),
        "created": _written(now),
        **{word: value for word, value in asked.items() if value},
    }
    _change(file, lambda text: _added(file, created(file) if text is None else text, name, entry))
    typer.echo(key)
    until = f" until {asked['expires']}" if asked["expires"] else ""
    warn(f"{name} may call with this key{until}; {shown_path(file)} holds its SHA-256 alone: it is not shown again")


def show(
    file: FileOption = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to show them.")] = Output.TABLE,
) -> None:
    """Show the keys of a file: what they may do, and the beginning of their SHA-256."""
    file = _located(file)
    problems = Problems()
    _, found = read_key_file(file, os.environ, problems)
    _tell(problems)
    if output is Output.JSON:
        print_json([_described(key) for key in found])
        return
    head = ("NAME", "SHA-256", "CREATED", "EXPIRES", "TIER", "MODELS", "LIMITS", "PRIORITY")
    now = time.time()
    Page().table(shown_path(file), head, [_row(key, now) for key in found])


def revoke(name: Name, file: FileOption = None) -> None:
    """Take a key out of the file: workers refuse it as soon as they notice, in a moment."""
    file = _located(file)
    _change(file, lambda text: _removed(file, text, name))
    warn(f"{name} is revoked in {shown_path(file)}")


def _located(file: str | None) -> str:
    if file is not None:
        return file
    settings = locate_settings(None, os.environ)
    return FILE if settings is None else str(Path(settings).parent / FILE)


# --- what the options say ---------------------------------------------------------------------------------------------


def _end(text: str, now: float) -> float:
    """When a key ends, in seconds since 1970: after a time with its unit, or at a date or a time as key files have."""
    if _ISO_DATE.match(text):
        return _moment(text, now)
    try:
        seconds = parse_duration(text)
    except UnitError as fault:
        raise _bad_expiry(f"expected {fault}, or a date such as 2027-01-31") from fault
    if seconds < 1 or not text.strip()[-1].isalpha():
        raise _bad_expiry("expected a time with its unit, from 1s to 366d, such as 90d or 12h")
    return now + seconds


def _moment(text: str, now: float) -> float:
    try:
        found = datetime.fromisoformat(text)
        end = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        _written(end)
    except (ValueError, OverflowError) as fault:
        raise _bad_expiry("expected a date or a time such as 2027-01-31 or 2027-01-31T18:00:00Z") from fault
    # A file keeps whole seconds.
    if end < now + 1:
        raise _bad_expiry("expected a date or a time that is to come: a date alone ends as it begins, in UTC")
    return end


def _bad_expiry(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--expires")


def _pair(text: str) -> tuple[str, JsonValue]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise typer.BadParameter("expected KEY=VALUE, such as team=search", param_hint="--metadata")
    return key, resolved(value) if value and "${" not in value else _literal(value)


def _literal(text: str) -> str:
    """A text as the file has it: there `${` would begin a variable."""
    return text.replace("${", "$${")


def _limit(text: str) -> JsonValue:
    found = _LIMIT.fullmatch(text)
    if found is None:
        expected = f'"requests=100/minute": one of {alternatives(_COUNTED)}, and {alternatives(UNITS)}'
        raise typer.BadParameter(f"expected something like {expected}", param_hint="--limit")
    return {found[1]: float(found[2]) if "." in found[2] else int(found[2]), "per": found[3]}


def _priority(priority: int) -> int:
    if abs(priority) > HIGHEST_PRIORITY:
        raise typer.BadParameter(f"expected at most {HIGHEST_PRIORITY} either way", param_hint="--priority")
    return priority


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the file ---------------------------------------------------------------------------------------------------------


def _change(file: str, change: Change) -> None:
    try:
        change_file(file, change)
    except EditError as error:
        fail(f"{shown_path(file)} stays as it is: {error}")
    except (OSError, UnicodeDecodeError) as fault:
        fail(f"{shown_path(file)} cannot be changed: {reason(fault)}")


def _added(file: str, text: str, name: str, entry: Entry) -> str:
    if any(key.name == name for key in _sound(file, text)):
        fail(f"there is a key of the name {name!r} in {shown_path(file)}: revoke it first, or take another name")
    changed = with_key(parse(file, text), entry)
    # What was asked for may be wrong in itself, as a name with a line break is.
    _sound(file, changed)
    return changed


def _removed(file: str, text: str | None, name: str) -> str:
    if text is None:
        fail(f"there is no file {shown_path(file)}")
    if all(key.name != name for key in _sound(file, text)):
        fail(f"there is no key of the name {name!r} in {shown_path(file)}")
    return without_key(parse(file, text), name)


def _sound(file: str, text: str) -> tuple[Key, ...]:
    problems = Problems()
    found = read_key_text(file, text, os.environ, problems)
    _tell(problems)
    return found


def _tell(problems: Problems) -> None:
    """Say what is wrong, and leave with 1 where it is an error. No line of the file is shown: a key may stand in it."""
    for problem in problems.all():
        warn(str(problem))
    if problems.failed:
        raise typer.Exit(1)


# --- what is shown ----------------------------------------------------------------------------------------------------


def _described(key: Key) -> dict[str, object]:
    return {
        "name": key.name,
        "sha256": key.digest.hex()[:_SHOWN_DIGITS],
        "created": None if key.created is None else _written(key.created),
        "expires": None if key.expires is None else _written(key.expires),
        "tier": key.tier,
        "metadata": key.metadata,
        "models": key.models,
        "limits": [_limit_words(limit) for limit in key.limits],
        "priority": key.priority,
    }


def _row(key: Key, now: float) -> Sequence[str]:
    expires = "never" if key.expires is None else _written(key.expires)
    expired = " (expired)" if key.expires is not None and key.expires <= now else ""
    return (
        key.name,
        key.digest.hex()[:_SHOWN_DIGITS],
        "" if key.created is None else _written(key.created),
        expires + expired,
        key.tier or "",
        ", ".join(key.models) or "all",
        ", ".join(_limit_words(limit) for limit in key.limits) or "none",
        str(key.priority),
    )


def _limit_words(limit: Limit) -> str:
    return f"{limit.counted.value}={limit.amount:g}/{limit.unit}"
