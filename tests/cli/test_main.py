import subprocess
import sys

import pytest
from typer.testing import CliRunner

from proxy.cli.main import COMMANDS, build, load_command


def test_the_help_names_every_command() -> None:
    result = CliRunner().invoke(build(), ["--help"])
    assert result.exit_code == 0
    assert all(command in result.output for command in COMMANDS)


def test_the_help_imports_no_command() -> None:
    script = (
        "import sys; from proxy.cli.main import build; build()(['--help'], standalone_mode=False); "
        "print([name for name in sys.modules if name in ('aiohttp', 'uvloop', 'proxy.cli.serve')])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_a_command_tells_its_own_options(command: str) -> None:
    result = CliRunner().invoke(build(), [command, "--help"])
    assert result.exit_code == 0
    assert f"penstock {command}" in result.output


def test_a_command_that_does_not_exist_is_refused() -> None:
    result = CliRunner().invoke(build(), ["swerve"])
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(build(), ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("penstock ")


def test_options_reach_the_command() -> None:
    assert {parameter.name for parameter in load_command("serve").params} >= {"config"}
