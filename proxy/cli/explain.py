"""`penstock explain`: what route files say, in words."""

from enum import StrEnum
from typing import Annotated

import typer

from proxy.cli.explain_markdown import markdown
from proxy.cli.explain_text import print_description
from proxy.cli.printing import Page, print_json, shown_files
from proxy.cli.reading import read_routes
from proxy.routing.description import describe


class Format(StrEnum):
    """How the configuration is told: as tables and lines, for programs, or for a page."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def explain(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Route files, folders, globs or settings files.")],
    output: Annotated[Format, typer.Option("--format", "-f", help="How to tell it.")] = Format.TABLE,
) -> None:
    """Tell what routes are for, what their rules ask of a request, and on which terms servers are asked.

    Values that came from variables are shown; those of headers that hold credentials are not.

    Exit status: 0; 1 when something cannot be read, or the configuration has errors; 2 when the command is not
    understood.
    """
    routes = read_routes(paths)
    description = describe(routes.config)
    if output is Format.JSON:
        print_json(description)
    elif output is Format.MARKDOWN:
        typer.echo(markdown(description, shown_files(routes.files)))
    else:
        print_description(Page(), description, shown_files(routes.files))
