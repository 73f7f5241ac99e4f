"""`penstock schema` prints what editors need, and the file beside the sample configuration is what it prints."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from proxy.cli.schema import schema
from proxy.config.schema.document import Part, json_schema

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command("schema")(schema)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "part"), [((), None), (("routes",), Part.ROUTES), (("settings",), Part.SETTINGS)]
)
def test_it_prints_one_schema_or_that_of_a_kind(arguments: tuple[str, ...], part: Part | None) -> None:
    status, output = run(*arguments)
    assert (status, json.loads(output)) == (0, json_schema(part))


def test_another_kind_is_told_with_those_that_there_are() -> None:
    status, output = run("kubernetes")
    assert status == 2
    for word in ("'kubernetes'", "'routes'", "'settings'"):
        assert word in output


def test_the_file_beside_the_sample_configuration_is_what_it_prints() -> None:
    assert (ROOT / "config" / "penstock.schema.json").read_text() == run()[1]
