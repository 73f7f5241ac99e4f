"""`penstock schema`: what editors need to know of route files and settings."""

from json import dumps
from typing import Annotated

import typer

from proxy.config.schema.document import Part, json_schema


def schema(
    part: Annotated[
        Part | None, typer.Argument(metavar="routes|settings", help="The kind of file; both if not given.")
    ] = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of native route files and of settings.

    An editor that speaks YAML completes and checks a file that begins with
    `# yaml-language-server: $schema=penstock.schema.json`.
    """
    typer.echo(schema_text(part), nl=False)


def schema_text(part: Part | None = None) -> str:
    """The schema as it is printed."""
    return dumps(json_schema(part), indent=2, ensure_ascii=False) + "\n"
