import subprocess
import sys
from pathlib import Path

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_output_that_cannot_be_written_is_told_in_a_line() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "proxy.cli.main", "schema"]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "cannot be written: No space left on device" in run.stderr
