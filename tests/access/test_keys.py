"""Promises of API keys: how they are made, who is found by one, and what a changed file does."""

import os
import re
from pathlib import Path

import pytest

from proxy.access import keys as module
from proxy.access.identity import Fault, Identity
from proxy.access.keys import EXPIRED, KeyRing, digest_of, make_key
from tests.access.heads import Clock

ADA, BOB = "psk-ada", "psk-bob"


def write(file: Path, *keys: str, more: str = "") -> None:
    lines = [f"  - name: {key[4:]}\n    sha256: {digest_of(key.encode()).hex()}\n{more}" for key in keys]
    file.write_text("version: 1\nkeys:\n" + "".join(lines))
    file.chmod(0o600)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    write(path, ADA)
    return path


def who(ring: KeyRing, key: str) -> str | None:
    found = ring.find(digest_of(key.encode()))
    return found.id if isinstance(found, Identity) else None


def test_a_made_key_has_256_random_bits_and_no_character_that_needs_a_quote() -> None:
    made = [make_key() for _ in range(100)]
    assert len(set(made)) == 100
    for key in made:
        assert key.startswith("psk-")
        assert re.fullmatch("[0-9A-Za-z]{43}", key[4:])


def test_a_key_is_found_by_its_digest_alone(file: Path) -> None:
    ring = KeyRing(str(file))
    assert who(ring, ADA) == "ada"
    assert ADA not in file.read_text()
    for wrong in ("", "psk-ad", "psk-adaa", "PSK-ADA", digest_of(ADA.encode()).hex()):
        assert ring.find(digest_of(wrong.encode())) is None


def test_only_digests_are_compared_and_that_in_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(module.hmac, "compare_digest", lambda one, other: bool(compared.append((one, other))) or True)
    ring = KeyRing(str(file))
    ring.find(digest_of(b"psk-adb"))
    assert not compared
    ring.find(digest_of(ADA.encode()))
    assert compared == [(digest_of(ADA.encode()), digest_of(ADA.encode()))]
    monkeypatch.setattr(module.hmac, "compare_digest", lambda *_: False)
    assert ring.find(digest_of(ADA.encode())) is None


def test_a_key_ends_at_its_expiry(file: Path) -> None:
    write(file, ADA, more="    expires: 2026-01-01T00:00:00Z\n")
    clock = Clock(1_767_225_599.9)
    ring = KeyRing(str(file), clock)
    assert who(ring, ADA) == "ada"
    clock.now = 1_767_225_600.0
    assert ring.find(digest_of(ADA.encode())) == EXPIRED


def test_a_changed_file_is_taken_over(file: Path) -> None:
    ring = KeyRing(str(file))
    write(file, BOB)
    assert ring.reload() == []
    assert ring.generation == 1
    assert (who(ring, ADA), who(ring, BOB)) == (None, "bob")


def test_an_unchanged_file_changes_nothing(file: Path) -> None:
    ring = KeyRing(str(file))
    assert ring.reload() == []
    assert ring.generation == 0


@pytest.mark.parametrize("text", ["", "version: 1\n", "version: 1\nkeys:\n  - {name: bob}\n", "{", "\x00", "keys: x"])
def test_a_bad_file_is_told_and_the_last_good_keys_stay(file: Path, text: str) -> None:
    ring = KeyRing(str(file))
    file.write_text(text)
    told = ring.reload()
    assert told
    assert all(str(file) in line for line in told)
    assert (who(ring, ADA), ring.generation) == ("ada", 0)


def test_a_file_that_is_gone_is_told_and_the_last_good_keys_stay(file: Path) -> None:
    ring = KeyRing(str(file))
    file.unlink()
    assert ring.reload() == [f"{file}: error PS100: cannot be read: no such file or directory"]
    assert who(ring, ADA) == "ada"


def test_a_bad_file_at_the_start_lets_nobody_in_until_it_is_mended(file: Path) -> None:
    file.write_text("version: 1\nkeys:\n  - name: ada\n")
    ring = KeyRing(str(file))
    assert [(problem.line, problem.path) for problem in ring.problems] == [(3, "keys[0]")]
    assert (len(ring), who(ring, ADA)) == (0, None)
    write(file, ADA)
    ring.reload()
    assert who(ring, ADA) == "ada"


def test_a_file_that_others_may_write_is_told_at_the_start_and_after_a_change(file: Path) -> None:
    file.chmod(0o666)
    ring = KeyRing(str(file))
    assert len(ring.problems) == 1
    write(file, BOB)
    file.chmod(0o666)
    assert len(ring.reload()) == 1
    assert who(ring, BOB) == "bob"


def test_a_ring_is_shown_without_its_keys(file: Path) -> None:
    shown = repr(KeyRing(str(file)))
    assert shown == f"<KeyRing {file}: 1 keys, generation 0>"


def test_a_digest_may_come_from_a_variable(file: Path) -> None:
    file.write_text("version: 1\nkeys:\n  - {name: ada, sha256: '${ADA}'}\n")
    ring = KeyRing(str(file), variables={"ADA": digest_of(ADA.encode()).hex()})
    assert who(ring, ADA) == "ada"
    assert "ADA" not in os.environ


def test_faults_hold_no_quotes_and_no_line_ends() -> None:
    for fault in (value for value in vars(module).values() if isinstance(value, Fault)):
        assert re.fullmatch("[ !#-~]+", fault.description)
