"""Promises of the file in which canaries outlive a restart."""

import json
import logging
import stat
from pathlib import Path

import msgspec
import pytest

from proxy.runtime.canary_state import FILE, UNREADABLE, CanaryStore, Phase, SavedCanary

CANARIES = {("chat", "all"): SavedCanary("d1", Phase.FAILED, 0.0, 0, 1_700_000_000.0, "20 of 200 requests failed")}


def test_what_was_kept_comes_back_after_a_restart(tmp_path: Path) -> None:
    CanaryStore(tmp_path).save(CANARIES)
    assert CanaryStore(tmp_path).load() == CANARIES


def test_the_file_is_json_for_its_owner_alone(tmp_path: Path) -> None:
    CanaryStore(tmp_path / "state").save(CANARIES)
    file = tmp_path / "state" / FILE
    assert json.loads(file.read_text())['["chat","all"]']["phase"] == "Failed"
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
        b'{"chat/all": {"digest": "d1", "phase": "Failed", "wei',
        b"[" * 100_000,
    ],
)
def test_a_spoilt_file_is_told_put_aside_and_counts_for_nothing(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = CanaryStore(tmp_path)
    assert store.load() == {}
    assert "cannot be read, canaries begin anew" in caplog.text
    assert "canaries.json.bad" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["canaries.json.bad"]
    store.save(CANARIES)
    assert CanaryStore(tmp_path).load() == CANARIES
    assert (tmp_path / "canaries.json.bad").read_bytes() == content


def test_a_spoilt_file_that_cannot_be_put_aside_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(b"{")
    (tmp_path / "canaries.json.bad").mkdir()
    assert CanaryStore(tmp_path).load() == {}
    assert "cannot be put aside" in caplog.text


@pytest.mark.parametrize(
    ("entry", "digest"),
    [
        ('{"digest": "d1", "phase": "Paused", "weight": 0, "step": 0, "since": 0}', "d1"),
        ('{"digest": "d1"}', "d1"),
        ('{"digest": 1, "phase": "Failed", "weight": 0, "step": 0, "since": 0}', ""),
        ("{}", ""),
        ("[]", ""),
        ("null", ""),
    ],
)
def test_an_entry_that_cannot_be_read_is_told_counts_as_aborted_and_spoils_no_other(
    tmp_path: Path, entry: str, digest: str, caplog: pytest.LogCaptureFixture
) -> None:
    CanaryStore(tmp_path).save(CANARIES)
    file = tmp_path / FILE
    file.write_text(file.read_text().replace("{", '{"[\\"chat\\",\\"odd\\"]": ' + entry + ",", 1))
    held = SavedCanary(digest, Phase.ABORTED, 0.0, 0, 0.0, UNREADABLE)
    assert CanaryStore(tmp_path).load() == {**CANARIES, ("chat", "odd"): held}
    assert 'canary ["chat","odd"] cannot be read, it is held at no share' in caplog.text


def test_names_that_look_alike_are_kept_apart(tmp_path: Path) -> None:
    failed = CANARIES["chat", "all"]
    both = {("p", "q/r"): failed, ("p/q", "r"): msgspec.structs.replace(failed, phase=Phase.PROMOTED)}
    CanaryStore(tmp_path).save(both)
    assert CanaryStore(tmp_path).load() == both


def test_a_name_of_an_earlier_version_means_each_rule_that_it_fits_and_gives_way_to_a_clear_one(tmp_path: Path) -> None:
    old, new = (
        f'{{"digest": "{digest}", "phase": "Failed", "weight": 0, "step": 0, "since": 1}}' for digest in ("d1", "d2")
    )
    (tmp_path / FILE).write_text(f'{{"x/y/z": {old}, "p/q/r": {old}, "[\\"p\\",\\"q/r\\"]": {new}}}')
    found = CanaryStore(tmp_path).load()
    assert {key: saved.digest for key, saved in found.items()} == {
        ("p", "q/r"): "d2",
        ("p/q", "r"): "d1",
        ("x", "y/z"): "d1",
        ("x/y", "z"): "d1",
    }


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
