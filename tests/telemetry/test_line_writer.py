"""Promises of the lines' way to their file."""

import errno
import os
import select
from pathlib import Path

import pytest

from proxy.telemetry import line_writer
from proxy.telemetry.line_writer import LineWriter, Sink


class Disk:
    """Stands for `os.write`: does what the script says (bytes taken, or an error), then takes everything."""

    def __init__(self, *script: int | OSError) -> None:
        self.script = list(script)
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        step = self.script.pop(0) if self.script else len(piece)
        if isinstance(step, OSError):
            raise step
        self.pieces.append(piece[:step])
        return step

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture
def writer(tmp_path: Path) -> LineWriter:
    return LineWriter(str(tmp_path / "log"))


def on(writer: LineWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(writer._sink, "write", disk.write)
    return disk


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_lines_are_written_in_one_piece(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = on(writer, Disk(), monkeypatch)
    for number in range(100):
        writer.append(b"line %d\n" % number)
    writer.flush()
    assert len(disk.pieces) == 1


def test_a_piece_ends_with_a_line_and_is_at_most_64_kib(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = on(writer, Disk(), monkeypatch)
    for _ in range(1000):
        writer.append(b"x" * 299 + b"\n")
    writer.flush()
    assert [len(piece) for piece in disk.pieces] == [65_400, 65_400, 65_400, 65_400, 38_400]


def test_a_line_longer_than_a_piece_goes_alone(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = on(writer, Disk(), monkeypatch)
    for size in (10, 100_000, 10):
        writer.append(b"x" * size + b"\n")
    writer.flush()
    assert [len(piece) for piece in disk.pieces] == [11, 100_001, 11]


def test_a_partial_write_is_continued(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = on(writer, Disk(3, 1), monkeypatch)
    writer.append(b"first\n")
    writer.append(b"second\n")
    writer.flush()
    assert disk.content == b"first\nsecond\n"
    assert (writer.waiting, writer.dropped) == (0, 0)


def test_a_reader_that_is_behind_gets_every_line_later(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = on(writer, Disk(4, BlockingIOError(), BlockingIOError()), monkeypatch)
    writer.append(b"first\n")
    writer.flush()
    writer.append(b"second\n")
    writer.flush()
    assert (disk.content, writer.waiting) == (b"firs", 2)
    writer.flush()
    assert (disk.content, writer.waiting, writer.dropped) == (b"first\nsecond\n", 0, 0)


def test_a_full_disk_loses_lines_and_counts_them(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = on(writer, Disk(full()), monkeypatch)
    for _ in range(3):
        writer.append(b"lost\n")
    writer.flush()
    assert (writer.dropped, writer.waiting) == (3, 0)
    writer.append(b"kept\n")
    writer.flush()
    assert (disk.content, writer.dropped) == (b"kept\n", 3)


def test_a_line_cut_by_a_full_disk_does_not_run_into_the_next(
    writer: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = on(writer, Disk(2, full(), full()), monkeypatch)
    writer.append(b"cut\n")
    writer.flush()
    writer.append(b"lost\n")
    writer.flush()
    writer.append(b"whole\n")
    writer.flush()
    assert disk.content == b"cu\nwhole\n"
    assert writer.dropped == 2


def test_a_full_disk_is_logged_once(
    writer: LineWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on(writer, Disk(full(), full()), monkeypatch)
    for _ in range(2):
        writer.append(b"lost\n")
        writer.flush()
    assert [record.getMessage().partition(" cannot")[2] for record in caplog.records] == [
        " be written, lines are dropped: No space left on device"
    ]


def test_waiting_lines_are_bounded(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "MOST_WAITING", 10)
    for _ in range(25):
        writer.append(b"line\n")
    assert (writer.waiting, writer.dropped) == (10, 15)


def test_a_pipe_that_nobody_reads_never_blocks(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(str(path))
    for _ in range(2000):
        writer.append(b"x" * 99 + b"\n")
    writer.flush()
    assert writer.waiting > 0
    received = os.read(reader, 1_000_000)
    assert received.count(b"x" * 99 + b"\n") * 100 == len(received)
    writer.flush()
    received += os.read(reader, 1_000_000)
    writer.flush()
    received += os.read(reader, 1_000_000)
    writer.flush()
    received += os.read(reader, 1_000_000)
    assert (len(received), writer.waiting, writer.dropped) == (200_000, 0, 0)
    writer.close()
    os.close(reader)


def test_a_blocking_pipe_is_asked_before_it_is_written_to() -> None:
    reader, end = os.pipe()
    sink = Sink(end)
    piece = b"x" * sink.largest_piece
    while select.select((), (end,), (), 0)[1]:
        sink.write(piece)
    with pytest.raises(BlockingIOError):
        sink.write(piece)
    sink.close()
    os.close(reader)


def test_a_reader_that_is_gone_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(str(path))
    os.close(reader)
    writer.append(b"line\n")
    writer.flush()
    assert writer.dropped == 1
    writer.close()


def test_standard_output_stays_open_after_close(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LineWriter("-")
    writer.append(b"line\n")
    writer.close()
    os.write(1, b"still open\n")
    assert capfd.readouterr().out == "line\nstill open\n"


def test_a_pipe_as_standard_output_is_not_made_non_blocking_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, end = os.pipe()
    monkeypatch.setattr(line_writer, "STANDARD_OUTPUT", end)
    writer = LineWriter("-")
    writer.append(b"line\n")
    writer.close()
    assert os.get_blocking(end)
    assert os.read(reader, 100) == b"line\n"
    os.close(reader)
    os.close(end)


def test_a_file_that_cannot_be_reopened_stays_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LineWriter(str(folder / "log"))
    moved = folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.append(b"line\n")
    writer.close()
    assert (moved / "log").read_bytes() == b"line\n"
    assert "cannot be opened: No such file or directory" in caplog.text
