"""What the tools read: configurations with all that is wrong in them, and files or standard input in pieces."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import typer
from rich.console import Console

from proxy.cli.printing import fail, warn
from proxy.cli.validate import is_settings_file, print_problems
from proxy.config.files import reason
from proxy.config.loader import LoadResult, load
from proxy.config.settings import load_settings
from proxy.config.spec import Config
from proxy.errors import ConfigError, Problem, Severity
from proxy.routing.compiler import compile_table
from proxy.routing.table import RoutingTable
from proxy.routing.wording import counted

STANDARD_INPUT = "-"
PIECE = 1024 * 1024
"""Bytes that are read at once."""

LARGEST_REQUEST = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Routes:
    """A configuration, its table, and the files that it was read from."""

    config: Config
    table: RoutingTable
    files: tuple[str, ...]


def read_routes(paths: Sequence[str], status: int = 1) -> Routes:
    """The configuration of route files, folders, globs and settings files. Leaves with this status on errors.

    Warnings are counted, not told: that is what `penstock validate` is for.
    """
    wanted, problems = _route_paths(paths)
    loaded = load(wanted) if wanted else LoadResult(None, (), ())
    problems += loaded.problems
    if loaded.config is None or _errors(problems):
        _leave(problems, status)
    try:
        table = compile_table(loaded.config)
    except ConfigError as error:
        _leave(error.problems, status)
    if count := sum(problem.severity is Severity.WARNING for problem in problems):
        warn(f"{counted(count, 'warning')}: see penstock validate {' '.join(paths)}")
    return Routes(loaded.config, table, loaded.files)


def _route_paths(paths: Sequence[str]) -> tuple[list[str], tuple[Problem, ...]]:
    """The paths of route files: a settings file stands for those that it names."""
    wanted: list[str] = []
    problems: tuple[Problem, ...] = ()
    for path in paths:
        if not is_settings_file(path):
            wanted.append(path)
            continue
        read = load_settings(path)
        problems += read.problems
        wanted += read.settings.routes if read.settings is not None else ()
    return wanted, problems


def _errors(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def _leave(problems: Sequence[Problem], status: int) -> NoReturn:
    errors = _errors(problems)
    print_problems(errors, Console(stderr=True, highlight=False, soft_wrap=True))
    fail(f"{counted(len(errors), 'error')}: the configuration cannot be used", status)


@contextmanager
def opened(name: str, status: int = 1) -> Iterator[Iterator[bytes]]:
    """The bytes of a file, or of standard input for "-", in pieces. Leaves with this status where it cannot be read."""
    try:
        with _stream(name) as stream:
            yield iter(lambda: stream.readline(PIECE), b"")
    except OSError as fault:
        fail(f"{name}: cannot be read: {reason(fault)}", status)


@contextmanager
def _stream(name: str) -> Iterator[IO[bytes]]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as stream:
        yield stream


def read_all(name: str) -> bytes:
    """The bytes of a file or of standard input, whole. Leaves with 1 where they cannot be read or are too many."""
    with opened(name) as pieces:
        content = bytearray()
        for piece in pieces:
            content += piece
            if len(content) > LARGEST_REQUEST:
                fail(f"{name}: more than {LARGEST_REQUEST // 1024**2} MiB for a single request")
    return bytes(content)


def is_interactive() -> bool:
    """Whether somebody sits at a terminal to answer questions."""
    return sys.stdin.isatty()


def ask(question: str, default: str | None = None) -> str:
    """Ask on standard error, so that standard output holds the result alone. Leaves with 1 at the end of the input."""
    sys.stderr.write(f"{question}{f' [{default}]' if default else ''}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        warn("the input ended before all was answered")
        raise typer.Exit(1)
    answer = line.strip()
    return default if not answer and default is not None else answer
