"""Promises of a key file on disk."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.cli import key_store
from proxy.cli.key_store import change_file


def appended(text: str | None) -> str:
    return (text or "") + "x"


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    change_file(str(file), appended)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("x", 0o600)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".keys.yaml.lock", "keys.yaml"]


def test_a_changed_file_keeps_its_mode_and_is_another_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("a")
    file.chmod(0o640)
    before = file.stat().st_ino
    change_file(str(file), appended)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("ax", 0o640)
    assert file.stat().st_ino != before


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "keys.yaml"
    link.symlink_to(tmp_path / "real" / "keys.yaml")
    change_file(str(link), appended)
    assert link.is_symlink()
    assert (tmp_path / "real" / "keys.yaml").read_text() == "x"


def test_two_changes_at_once_lose_neither(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: change_file(str(file), appended), range(40)))
    assert file.read_text() == "x" * 40


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("a")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(key_store.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            change_file(str(file), appended)
    assert file.read_text() == "a"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".keys.yaml.lock", "keys.yaml"]


def test_what_a_change_that_was_killed_has_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / f".keys.yaml.{os.getpid()}").write_text("half")
    change_file(str(tmp_path / "keys.yaml"), appended)
    assert (tmp_path / "keys.yaml").read_text() == "x"
