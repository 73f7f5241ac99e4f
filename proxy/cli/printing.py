"""What the tools print: lines and tables that fit a terminal and are whole where they are piped, and JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import NoReturn

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.cli.validate import shown_path
from proxy.config.spec import Origin
from proxy.telemetry.safe_text import escape_message

_NARROWEST = 20  # columns


def fail(message: str, status: int = 1) -> NoReturn:
    """Say on standard error what is wrong, and leave."""
    warn(message)
    raise typer.Exit(status)


def warn(message: str) -> None:
    """Say something on standard error."""
    sys.stderr.write(f"penstock: {escape_message(message)}\n")


def place_of(origin: Origin) -> str:
    """Where something stands, as it is reached from here; empty where that is not known."""
    file = shown_path(origin.file)
    return f"{file}:{origin.line}" if origin.line else file


def shown_files(files: Sequence[str]) -> list[str]:
    """Files as they are reached from here."""
    return [shown_path(file) for file in files]


class Page:
    """Prints lines and tables. Whatever they hold, nothing in them drives the terminal or counts as markup.

    Piped lines are never broken or cut.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._begun = False

    def line(self, text: str = "", indent: int = 0, style: str = "", hang: int = 2) -> None:
        """A line. On a terminal, what does not fit goes on below it, `hang` columns further in."""
        self._begun = True
        shown = escape_message(text)
        if not self._console.is_terminal:
            # Rich takes ten times as long, and has nothing to add.
            self._console.file.write(f"{' ' * indent if text else ''}{shown}\n")
            return
        parts = Text(shown, style).wrap(self._console, max(_NARROWEST, self._console.width - indent - hang))
        for place, part in enumerate(parts or [Text()]):
            margin = " " * (indent + hang * (place > 0)) if text else ""
            self._console.print(Text(margin).append_text(part), soft_wrap=True)

    def heading(self, text: str) -> None:
        """A line above a section, with an empty one before it unless it is the first."""
        if self._begun:
            self.line()
        self.line(text, style="bold")

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table with a title."""
        self.heading(title)
        cells = [[escape_message(cell) for cell in row] for row in rows]
        if self._console.is_terminal:
            self._console.print(_framed(head, cells))
            return
        for line in _aligned([list(head), *cells]):
            self._console.file.write(f"{line}\n")


def _framed(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two blanks apart, as wide as their widest cell."""
    widths = [max(cell_len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "".join(f"  {cell}{' ' * (width - cell_len(cell))}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# --- for programs -----------------------------------------------------------------------------------------------------


def print_json(value: object) -> None:
    """A value as JSON, indented, on standard output."""
    typer.echo(to_json(value))


def to_json(value: object) -> str:
    """A value as JSON. Its texts are escaped as far as they cannot be printed."""
    content = plain(value)
    try:
        text = orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()
    except (TypeError, ValueError):
        text = json.dumps(content, indent=2)  # half of a surrogate pair, or a number that is larger than 64 bits
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else _escape(one) for one in text)


def _escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def plain(value: object) -> object:
    """A value as JSON has it: sets sorted, what has fields as an object of them, places as texts."""
    match value:
        case Origin():
            return place_of(value)
        case Enum():
            return value.value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=str)
        case list() | tuple():
            return [plain(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value
