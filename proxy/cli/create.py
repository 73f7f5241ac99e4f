"""`penstock create`: a route file to begin with, from a sample or from answers to questions."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.create_questions import ask_config, native_text
from proxy.cli.create_samples import Sample, json_text, mixtrain_sample, most_endpoints, native_sample
from proxy.cli.printing import fail
from proxy.config.files import reason
from proxy.config.loader import load_texts
from proxy.errors import Severity
from proxy.routing.wording import counted
from proxy.telemetry.safe_text import escape_message


class Format(StrEnum):
    """What the file is written as."""

    NATIVE = "native"
    MIXTRAIN = "mixtrain"


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The route's name.")],
    file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it; standard output if not given."),
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Ask for rules and targets.")] = False,
    sample: Annotated[
        Sample | None, typer.Option("--from", help="What it is about; simple if not given.", show_default=False)
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where an engine listens; may be repeated.", show_default=False),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="native, or mixtrain, which is usual for a .json file.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a route file that is valid as it stands, with comments on what to change.

    Exit status: 0; 1 when the file cannot be written, is there already, or the answers ended too soon; 2 when the
    command is not understood.
    """
    chosen = form or (Format.MIXTRAIN if file is not None and file.endswith(".json") else Format.NATIVE)
    if chosen is Format.NATIVE and file is not None and file.endswith(".json"):
        raise typer.BadParameter("a native file is YAML: its name ends in .yaml or .yml")
    if interactive and (sample or endpoint):
        raise typer.BadParameter("--interactive asks for all that --from and --endpoint say")
    if file is not None and not force and Path(file).exists():
        fail(f"{file} is there already: --force writes over it")
    _check_name(name, chosen)
    made = _asked(name, chosen) if interactive else _sampled(name, chosen, sample or Sample.SIMPLE, endpoint or ())
    if file is None:
        typer.echo(made, nl=False)
        return
    _write(file, made, force=force)
    typer.echo(f"✓ Configuration saved to {escape_message(file)}")


def _asked(name: str, form: Format) -> str:
    config = ask_config(name)
    return json_text(config) if form is Format.MIXTRAIN else native_text(config)


def _sampled(name: str, form: Format, sample: Sample, endpoints: Sequence[str]) -> str:
    most = most_endpoints(sample)
    if most is not None and len(endpoints) > most:
        raise typer.BadParameter(f"--from {sample} has a use for {counted(most, 'endpoint')}, not for {len(endpoints)}")
    if form is Format.MIXTRAIN and sample is Sample.SIMPLE and len(endpoints) > 1:
        raise typer.BadParameter("a target of Mixtrain's has one endpoint; --from fallback has a use for several")
    if fault := _fault(_text(name, form, sample, endpoints), form):
        raise typer.BadParameter(f"--endpoint: {fault}")
    return _text(name, form, sample, endpoints)


def _text(name: str, form: Format, sample: Sample, endpoints: Sequence[str]) -> str:
    write = native_sample if form is Format.NATIVE else mixtrain_sample
    return write(name, sample, endpoints)


def _check_name(name: str, form: Format) -> None:
    if fault := _fault(_text(name, form, Sample.SIMPLE, ()), form):
        raise typer.BadParameter(f"NAME: {fault}")


def _fault(made: str, form: Format) -> str | None:
    """What keeps the text from being served."""
    file = "created.yaml" if form is Format.NATIVE else "created.json"
    problems = load_texts({file: made}).problems
    return next((problem.message for problem in problems if problem.severity is Severity.ERROR), None)


def _write(file: str, made: str, *, force: bool) -> None:
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(made)
    except FileExistsError:
        fail(f"{file} is there already: --force writes over it")
    except OSError as fault:
        fail(f"{file}: cannot be written: {reason(fault)}")
