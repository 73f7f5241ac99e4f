"""The `penstock` command. A subcommand's module is imported when it is called, so that `--help` answers at once."""

import errno
import importlib
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from proxy.runtime.version import own_version

COMMANDS = {
    "serve": "Serve what the settings and the route files say.",
    "validate": "Tell every problem in route files, with file, line and column.",
    "test": "Tell where a request would go, and why not elsewhere, without sending it.",
    "coverage": "Tell which rules a set of requests reaches, or an access log.",
    "explain": "Tell in words what route files say.",
    "diff": "Tell what differs between two configurations, and which requests would go elsewhere.",
    "get": "Tell how servers, routes and rewrites stand in what runs.",
    "canary": "Tell how canaries do, and promote, abort or resume one.",
    "create": "Write a route file to begin with.",
    "convert": "Write route files of any kind as one native file.",
    "keys": "Make, show and revoke API keys.",
    "schema": "Print the JSON Schema of route files and settings, for editors.",
    "demo": "Start simulated engines and the proxy before them, and show requests on their way.",
    "simulate": "Run a simulated vLLM or SGLang, to try things on.",
}

GROUPS = frozenset({"keys"})
"""Commands that have commands below them."""


class LateCommand(TyperCommand):
    """A command known by name and one line of help, until it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the command and let it read its own arguments."""
        return load_command(str(self.name)).make_context(info_name, args, parent, **extra)


class LateGroup(TyperGroup):
    """All commands, none of them imported yet."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        """Their names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> LateCommand | None:  # noqa: ARG002
        """One of them by its name."""
        return LateCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Import a command: the module of its name in this package has a function of its name, or one for its group."""
    function: Callable[..., Any] = getattr(importlib.import_module(f"proxy.cli.{name}"), name)
    if name in GROUPS:
        return load_group(function())
    command = typer.Typer(add_completion=False)
    command.command(name)(function)
    loaded = typer.main.get_command(command)
    if not isinstance(loaded, TyperCommand):
        raise TypeError(f"{name} is no single command")
    return loaded


def load_group(commands: typer.Typer) -> TyperGroup:
    """Commands below a command."""
    loaded = typer.main.get_command(commands)
    if not isinstance(loaded, TyperGroup):
        raise TypeError("these commands are no group")
    return loaded


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"penstock {own_version()}")
        raise typer.Exit


def penstock(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A fast reverse proxy for vLLM and SGLang servers: YAML in, token streams out."""


def build() -> typer.Typer:
    """The whole command line."""
    application = typer.Typer(
        name="penstock", cls=LateGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    application.callback()(penstock)
    return application


def main() -> None:
    """Run the command line. Where its output cannot be written (a full disk) it says so, and ends with 2."""
    try:
        build()(prog_name="penstock")
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}:
            raise
        sys.stderr.write(f"penstock: the output cannot be written: {error.strerror or error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
