"""What is read comes in pieces, and what cannot be read is told."""

import io
from pathlib import Path

import pytest
import typer

from proxy.cli import reading
from proxy.cli.reading import ask, is_interactive, opened, read_all, read_routes


def test_a_file_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 4)
    (tmp_path / "f").write_bytes(b"ab\ncdefgh\n")
    with opened(str(tmp_path / "f")) as pieces:
        assert list(pieces) == [b"ab\n", b"cdef", b"gh\n"]


def test_a_single_request_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 9)
    assert read_all(str(tmp_path / "f")) == b"x" * 9
    monkeypatch.setattr(reading, "LARGEST_REQUEST", 8)
    with pytest.raises(typer.Exit) as left:
        read_all(str(tmp_path / "f"))
    assert left.value.exit_code == 1
    assert "more than" in capsys.readouterr().err


def test_what_cannot_be_read_is_told_with_the_status_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left, opened("none", 2):
        pass
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "penstock: none: cannot be read: no such file or directory\n"


def test_a_question_is_asked_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" a \n\n\n"))
    assert (ask("One"), ask("Two", "default"), ask("Three")) == ("a", "default", "")
    assert not is_interactive()
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "One: Two [default]: Three: ")


def test_settings_that_cannot_be_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "penstock.yaml").write_text("workers: 0\nroutes: none.yaml\n")
    with pytest.raises(typer.Exit) as left:
        read_routes([str(tmp_path / "penstock.yaml")], 2)
    assert left.value.exit_code == 2
    assert "PS110" in capsys.readouterr().err


def test_files_that_hold_no_route_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("servers: {s: {endpoints: [http://h]}}\n")
    found = read_routes([str(tmp_path / "a.yaml")])
    assert found.config.routes == ()
    assert found.files == (str(tmp_path / "a.yaml"),)
    assert "warning" in capsys.readouterr().err
