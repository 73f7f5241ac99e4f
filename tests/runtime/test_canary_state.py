"""Promises of the file in which canaries outlive a restart."""

import json
import logging
import stat
from pathlib import Path

import pytest

from proxy.runtime.canary_state import FILE, CanaryStore, Phase, SavedCanary

CANARIES = {"chat/all": SavedCanary("d1", Phase.FAILED, 0.0, 0, 1_700_000_000.0, "20 of 200 requests failed")}


def test_what_was_kept_comes_back_after_a_restart(tmp_path: Path) -> None:
    CanaryStore(tmp_path).save(CANARIES)
    assert CanaryStore(tmp_path).load() == CANARIES


def test_the_file_is_json_for_its_owner_alone(tmp_path: Path) -> None:
    CanaryStore(tmp_path / "state").save(CANARIES)
    file = tmp_path / "state" / FILE
    assert json.loads(file.read_text())["chat/all"]["phase"] == "Failed"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [FILE]


def test_without_a_folder_nothing_is_kept() -> None:
    store = CanaryStore(None)
    store.save(CANARIES)
    assert store.load() == {}


def test_nothing_is_written_where_nothing_was_and_nothing_is(tmp_path: Path) -> None:
    store = CanaryStore(tmp_path)
    assert store.load() == {}
    store.save({})
    assert list(tmp_path.iterdir()) == []


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    store = CanaryStore(tmp_path)
    store.save(CANARIES)
    (tmp_path / FILE).unlink()
    store.save(CANARIES)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"chat/all": {}}',
        b'{"chat/all": {"digest": "d", "phase": "Odd", "weight": 0, "step": 0, "since": 0}}',
        b"[" * 100_000,
    ],
)
def test_a_spoilt_file_is_told_and_counts_for_nothing(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = CanaryStore(tmp_path)
    assert store.load() == {}
    assert "cannot be read, " in caplog.text
    store.save(CANARIES)
    assert CanaryStore(tmp_path).load() == CANARIES


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_text("no folder")
    store = CanaryStore(tmp_path / "state")
    with caplog.at_level(logging.ERROR):
        store.save(CANARIES)
        store.save({})
        store.save(CANARIES)
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1


def test_a_folder_that_can_be_written_again_gets_what_was_missed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("no folder")
    store = CanaryStore(folder)
    store.save(CANARIES)
    folder.unlink()
    store.save(CANARIES)
    assert CanaryStore(folder).load() == CANARIES


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CanaryStore(tmp_path)
    store.save(CANARIES)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("proxy.runtime.canary_state.os.fsync", full)
    store.save({})
    assert CanaryStore(tmp_path).load() == CANARIES
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_an_odd_entry_takes_no_other_with_it_and_a_spoilt_file_is_put_aside(tmp_path: Path) -> None:
    good = SavedCanary("d", Phase.FAILED, 0.0, 1, 5.0, "why")
    CanaryStore(tmp_path).save({"a/b": good, "c/d": good})
    file = tmp_path / "canaries.json"
    file.write_text(file.read_text().replace('"Failed"', '"Paused"', 1))
    assert list(CanaryStore(tmp_path).load().values()) == [good]
    file.write_text("{")
    assert CanaryStore(tmp_path).load() == {}
    assert (tmp_path / "canaries.json.bad").read_text() == "{"
