"""`penstock convert`: route files of any kind as one file of the native kind."""

import os
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from proxy.cli.printing import fail, warn
from proxy.cli.validate import print_problems
from proxy.config.files import reason
from proxy.config.loader import load
from proxy.config.writing.document import write_native


class Form(StrEnum):
    """What can be written."""

    NATIVE = "native"


class NotedVariables(Mapping[str, str]):
    """Environment variables. Mutable: the names of those that were asked for and are set."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.used: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        value = self._variables[name]
        self.used[name] = None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def convert(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Route files, folders or globs, of any kind.")],
    to: Annotated[Form, typer.Option("--to", help="The kind of file to write.")] = Form.NATIVE,  # noqa: ARG001 - there is one
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it; standard output if not given."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write what route files say as one native file, which is read as the same configuration.

    Comments are lost, paths become absolute, and variables give way to their values. All problems are told on standard
    error.

    Exit status: 0; 1 when the files have errors, or the output cannot be written or is there already; 2 when the
    command is not understood.
    """
    if output is not None and output.endswith(".json"):
        raise typer.BadParameter("a native file is YAML: its name ends in .yaml or .yml", param_hint="--output")
    variables = NotedVariables(os.environ)
    loaded = load(paths, variables)
    print_problems(loaded.problems, Console(stderr=True, highlight=False, soft_wrap=True))
    if loaded.config is None:
        raise typer.Exit(1)
    written = write_native(loaded.config)
    if variables.used:
        names = ", ".join(sorted(variables.used))
        warn(f"the output holds the values of environment variables ({names}): keep it as you keep those")
    if output is None:
        typer.echo(written, nl=False)
    else:
        _write(output, written, force=force)


def _write(file: str, written: str, *, force: bool) -> None:
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(written)
    except FileExistsError:
        fail(f"{file} is there already: --force writes over it")
    except OSError as fault:
        fail(f"{file}: cannot be written: {reason(fault)}")
