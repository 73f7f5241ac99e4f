import sys
from pathlib import Path

import pytest

from proxy.errors import Severity
from proxy.runtime.pieces import Assembler
from proxy.runtime.reading import Reading, read_configuration

ROUTES = """
servers:
  engine: {endpoints: ["https://127.0.0.1:1"], tls: {ca: ca.pem}}
routes:
  - {name: chat, models: [qwen], rules: [{name: all, targets: [{server: engine}]}]}
"""


async def test_a_good_configuration_comes_in_pieces_and_summed_up(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "chat.yaml").write_text(ROUTES)
    reading = await read_configuration([str(tmp_path)])
    assert reading.usable
    assert reading.files == (str(tmp_path / "chat.yaml"),)
    assert reading.watched == (str(tmp_path / "ca.pem"),)
    assert (reading.route_count, len(reading.servers)) == (1, 1)
    assembler = Assembler(reading.version)
    for piece in reading.pieces:
        assembler.add(piece)
    assert assembler.config().routes[0].models == ("qwen",)


async def test_a_bad_configuration_brings_its_problems_and_no_pieces(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "chat.yaml").write_text(ROUTES.replace("models", "modles"))
    reading = await read_configuration([str(tmp_path)])
    assert not reading.usable
    assert reading.pieces == ()
    assert [problem.line for problem in reading.problems if problem.severity is Severity.ERROR] == [5]
    assert reading.files == (str(tmp_path / "chat.yaml"),)


async def test_an_empty_folder_is_not_usable(tmp_path: Path) -> None:
    reading = await read_configuration([str(tmp_path)])
    assert not reading.usable
    assert reading.problems


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([sys.executable, "-c", "raise SystemExit('no memory')"], "the reader ended with status 1: no memory"),
        ([sys.executable, "-c", "print('what?')"], "the reader's answer cannot be read"),
        (["/nowhere/python"], "No such file"),
    ],
)
async def test_whatever_becomes_of_the_reader_is_a_problem(command: list[str], message: str) -> None:
    reading = await read_configuration(["routes/"], command)
    assert not reading.usable
    assert message in reading.problems[0].message
    assert reading.problems[0].file == "routes/"


def test_nothing_is_not_usable() -> None:
    assert not Reading().usable
