"""`penstock serve`: the proxy itself."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from proxy.config.settings import load_settings, locate_settings
from proxy.config.settings_spec import Settings
from proxy.errors import ConfigError, Problem, Severity
from proxy.runtime.process import WorkerFailedError
from proxy.runtime.sockets import BindError
from proxy.runtime.supervisor import Supervisor
from proxy.telemetry.logs import set_up_logging
from proxy.telemetry.safe_text import escape_message


def serve(
    config: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--config",
            envvar="PENSTOCK_CONFIG",
            metavar="FILE",
            help="The settings file; ./penstock.yaml or ./config/penstock.yaml if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve what the settings and the route files say, until SIGTERM or Ctrl-C; SIGHUP reloads.

    The first signal lets everything in flight end (drain_timeout), a second one stops at once.

    Exit status: 0 when stopped; 130 after a second Ctrl-C; 1 when an address or a worker cannot start; 2 when the
    configuration has errors.
    """
    settings = read_settings(locate_settings(config, os.environ))
    set_up_logging(settings.log)
    try:
        status = asyncio.run(Supervisor(settings).run())
    except ConfigError as error:
        tell_problems(error.problems)
        raise typer.Exit(2) from error
    except (BindError, WorkerFailedError) as error:
        sys.stderr.write(f"penstock: {error}\n")
        raise typer.Exit(1) from error
    raise typer.Exit(status)


def read_settings(file: str | None) -> Settings:
    """The settings of a file, or the defaults. Raises typer.Exit with 2 where they have errors."""
    result = load_settings(file)
    if result.settings is None:
        tell_problems(result.problems)
        raise typer.Exit(2)
    if not result.settings.routes:
        missing = f"{escape_message(file)} names no routes" if file else "no settings file and no folder routes/ here"
        sys.stderr.write(f"penstock: {missing}: say which {'under routes:' if file else 'with -c FILE'}\n")
        raise typer.Exit(2)
    for problem in result.problems:
        sys.stderr.write(f"{escape_message(str(problem))}\n")
    return result.settings


def tell_problems(problems: tuple[Problem, ...]) -> None:
    """Print every problem, and how many keep the proxy from serving."""
    for problem in problems:
        sys.stderr.write(f"{escape_message(str(problem))}\n")
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    sys.stderr.write(f"penstock: {errors} error{'' if errors == 1 else 's'}: nothing is served\n")
