"""`penstock validate`: every problem of a configuration at its file, line and column, before anything serves it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from proxy.cli.concealment import concealed
from proxy.config.loader import load
from proxy.config.problems import Problems
from proxy.config.settings import holds_settings, load_settings, locate_settings
from proxy.config.text.document import parse_documents
from proxy.errors import Problem, Severity
from proxy.telemetry.safe_text import escape_message

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.HINT: "bold cyan"}
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "notice"}
_WIDEST_LINE = 160


class Format(StrEnum):
    """How problems are printed: for people, for programs, or as annotations of a GitHub workflow."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All problems of what was validated, the files that were looked at, and what was found in them."""

    problems: tuple[Problem, ...]
    files: tuple[str, ...]
    servers: int = 0
    routes: int = 0

    def count(self, severity: Severity) -> int:
        return sum(problem.severity is severity for problem in self.problems)

    def passes(self, *, strict: bool) -> bool:
        """No error, and where it is strict no warning either."""
        return not (self.count(Severity.ERROR) or (strict and self.count(Severity.WARNING)))


def validate(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]…", help="Route files, folders, globs or settings files.", show_default=False),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="The settings file, where no PATH is given.", envvar="PENSTOCK_CONFIG"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print the problems.")] = Format.TEXT,
) -> None:
    """Tell every problem of a configuration. Exits with 1 if there is an error."""
    verdict = judge(paths or [], config)
    printers = {Format.TEXT: _print_text, Format.JSON: _print_json, Format.GITHUB: _print_github}
    printers[output](verdict, strict)
    raise typer.Exit(0 if verdict.passes(strict=strict) else 1)


def judge(paths: Sequence[str], config: str | None) -> Verdict:
    """The verdict on these paths; without any, on the settings file and the routes that it names."""
    if not paths:
        return _judge_settings(locate_settings(config, os.environ))
    settings_files = [path for path in paths if is_settings_file(path)]
    verdicts = [_judge_settings(file) for file in settings_files]
    if others := [path for path in paths if path not in settings_files]:
        verdicts.append(_judge_routes(others))
    return Verdict(
        problems=tuple(problem for verdict in verdicts for problem in verdict.problems),
        files=tuple(dict.fromkeys(file for verdict in verdicts for file in verdict.files)),
        servers=sum(verdict.servers for verdict in verdicts),
        routes=sum(verdict.routes for verdict in verdicts),
    )


def is_settings_file(path: str) -> bool:
    """The file holds settings, by the keys of its first document; a file that cannot be read holds none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    documents = parse_documents(path, text, {}, Problems()).nodes
    return bool(documents) and holds_settings(documents[0])


def _judge_settings(file: str | None) -> Verdict:
    read = load_settings(file)
    files = (read.file,) if read.file else ()
    if read.settings is None:
        return Verdict(read.problems, files)
    if file is None and not read.settings.routes:
        message = "there is no settings file (penstock.yaml, config/penstock.yaml) and no folder routes/ here"
        return Verdict((Problem(Severity.ERROR, "PS108", "", 0, 0, "", message),), ())
    routes = _judge_routes(read.settings.routes)
    return Verdict((*read.problems, *routes.problems), (*files, *routes.files), routes.servers, routes.routes)


def _judge_routes(paths: Sequence[str]) -> Verdict:
    loaded = load(paths)
    if loaded.config is None:
        return Verdict(loaded.problems, loaded.files)
    return Verdict(loaded.problems, loaded.files, len(loaded.config.servers), len(loaded.config.routes))


# --- for people -------------------------------------------------------------------------------------------------------


def _print_text(verdict: Verdict, strict: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    print_problems(verdict.problems, console)
    console.print(_summary(verdict, strict))


def print_problems(problems: Sequence[Problem], console: Console) -> None:
    """Each problem at its place, with its line of the file."""
    for problem in problems:
        console.print(_headline(problem))
        for line in _excerpt(problem):
            console.print(line)


def _headline(problem: Problem) -> Text:
    line = Text()
    if place := _place(problem):
        line.append(f"{escape_message(place)}: ", "bold")
    line.append(f"{problem.severity.value} {problem.code}", _STYLES[problem.severity])
    line.append(f": {escape_message(problem.message)}")
    if problem.suggestion:
        line.append(" (did you mean ")
        line.append(escape_message(problem.suggestion), "bold")
        line.append("?)")
    return line


def _place(problem: Problem) -> str:
    file = shown_path(problem.file)
    return f"{file}:{problem.line}:{problem.column}" if problem.line else file


def shown_path(file: str) -> str:
    """A file as it is reached from here, where it lies below; its absolute path otherwise."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else file


def _excerpt(problem: Problem) -> list[Text]:
    """The source line with a caret below, and the path in the document."""
    lines = _lines_of(problem.file)
    if not 0 < problem.line <= len(lines):
        return []
    source = _one_for_one(concealed(lines[problem.line - 1], problem.path).replace("\t", " ")[:_WIDEST_LINE])
    number = str(problem.line)
    margin = " " * len(number)
    where = f"  {problem.path}" if problem.path else ""
    caret = Text(f" {margin} | {' ' * (min(problem.column, _WIDEST_LINE) - 1)}")
    caret.append("^", _STYLES[problem.severity]).append(where, "dim")
    return [Text(f" {number} | {source}", "dim"), caret]


def _one_for_one(source: str) -> str:
    """Nothing in it drives the terminal, and the caret below still points at its character."""
    return "".join(character if character.isprintable() else "\ufffd" for character in source)


@lru_cache(maxsize=8)
def _lines_of(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8").removeprefix("\ufeff").split("\n")
    except (OSError, ValueError):
        return []


def _summary(verdict: Verdict, strict: bool) -> Text:
    files = _counted(len(verdict.files), "file")
    told = [_counted(verdict.count(severity), severity.value) for severity in Severity if verdict.count(severity)]
    style = "bold green" if verdict.passes(strict=strict) else "bold red"
    if not verdict.passes(strict=strict):
        return Text(f"{files}: {', '.join(told)}", style)
    found = f"{_counted(verdict.servers, 'server')}, {_counted(verdict.routes, 'route')}"
    return Text(f"{files} with {found}: {', '.join(told) or 'no problem'}", style)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# --- for programs -----------------------------------------------------------------------------------------------------


def _print_json(verdict: Verdict, strict: bool) -> None:
    answer = {
        "valid": verdict.passes(strict=strict),
        "files": verdict.files,
        "servers": verdict.servers,
        "routes": verdict.routes,
        "problems": verdict.problems,
    }
    typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())


def _print_github(verdict: Verdict, strict: bool) -> None:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    for problem in verdict.problems:
        near = f" (did you mean {problem.suggestion}?)" if problem.suggestion else ""
        fields = {"file": shown_path(problem.file), "line": problem.line, "col": problem.column}
        given = [f"{name}={_escaped(str(value), ':,')}" for name, value in fields.items() if value]
        properties = ",".join([*given, f"title={problem.code}"])
        typer.echo(f"::{_GITHUB[problem.severity]} {properties}::{_escaped(problem.message + near)}")
    typer.echo(_summary(verdict, strict).plain)


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(char):02X}" if char in "%\r\n" + more else char for char in text)
