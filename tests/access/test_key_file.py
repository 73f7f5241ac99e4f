"""Promises of key files: what is read of them, and where their slips are told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.key_file import Key, read_key_file, read_key_text
from proxy.config.access_spec import Counted, Limit, Share
from proxy.config.problems import Problems
from proxy.errors import Severity

DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
FULL = f"""\
version: 1
keys:
  - name: ada
    sha256: {DIGEST}
    created: 2026-11-25
    expires: 2027-01-31T18:00:00+01:00
    tier: gold
    metadata: {{team: search, user: ada@example.com, level: 3}}
    models: [qwen, llama-*]
    limits: [{{requests: 100, per: minute, by: key}}]
    priority: 5
"""


def read(text: str, file: str = "keys.yaml") -> tuple[tuple[Key, ...], list[tuple[int, str, str]]]:
    problems = Problems()
    keys = read_key_text(file, text, {}, problems)
    return keys, [(problem.line, problem.path, problem.message) for problem in problems.all()]


def slips(entry: str) -> list[tuple[int, str, str]]:
    """What is wrong with one key, whose fields begin in line 3."""
    lines = ["name: ada", f"sha256: {DIGEST}"] if "sha256" not in entry else ["name: ada"]
    lines += entry.split("\n") if entry else []
    return read("version: 1\nkeys:\n  - " + "\n    ".join(lines) + "\n")[1]


def test_all_that_a_key_says_is_read() -> None:
    (key,), problems = read(FULL)
    assert not problems
    assert key.digest == bytes.fromhex(DIGEST)
    assert (key.created, key.expires) == (1_795_564_800.0, 1_801_414_800.0)
    identity = key.identity("/etc/keys.yaml")
    assert (identity.id, identity.method, identity.source) == ("ada", "key", "/etc/keys.yaml")
    assert identity.models == ("qwen", "llama-*")
    assert identity.limits == (Limit(Counted.REQUESTS, 100.0, "minute", by=(Share.KEY,)),)
    assert (identity.priority, identity.expires, identity.user) == (5, 1_801_414_800.0, "ada@example.com")
    data = {"team": "search", "user": "ada@example.com", "level": 3, "tier": "gold", "id": "ada", "name": "ada"}
    assert identity.data == data


def test_a_key_needs_no_more_than_a_name_and_a_digest() -> None:
    (key,), problems = read(f"version: 1\nkeys: [{{name: ada, sha256: {DIGEST.upper()}}}]")
    assert not problems
    assert key.identity("/k").expires == float("inf")


def test_json_is_read_where_the_name_of_the_file_says_so() -> None:
    text = f'{{"version": 1, "keys": [{{"name": "ada", "sha256": "{DIGEST}"}}]}}'
    assert read(text, "keys.json")[0][0].name == "ada"


def test_a_list_without_keys_lets_nobody_in_and_is_no_slip() -> None:
    assert read("version: 1\nkeys: []") == ((), [])


@pytest.mark.parametrize("text", ["", "# nothing\n", "version: 1\n", "keys: []\n", "version: 2\nkeys: []\n", "- a\n"])
def test_an_empty_half_written_or_foreign_file_is_told(text: str) -> None:
    assert read(text)[1]


def test_a_digest_is_never_shown_as_it_may_be_the_key_itself() -> None:
    ((line, path, message),) = slips("sha256: psk-thisisthekeyitself")
    assert (line, path) == (4, "keys[0].sha256")
    assert message == "expected the SHA-256 of a key as 64 hexadecimal digits, found a text of 22 characters"


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ("expires: soon", "keys[0].expires"),
        ("expires: 2027-02-30", "keys[0].expires"),
        ("expires: 99", "keys[0].expires"),
        ("expires:", "keys[0].expires"),
        ("created: [x]", "keys[0].created"),
        ("models: []", "keys[0].models"),
        ("limits: [{requests: 0}]", "keys[0].limits[0].requests"),
        ("limits: [{requests: 1, per: year}]", "keys[0].limits[0].per"),
        ("priority: high", "keys[0].priority"),
        ("tier: [x]", "keys[0].tier"),
        ("metadata: x", "keys[0].metadata"),
        ("metadata: {id: root}", "keys[0].metadata.id"),
        ("metadata: {name: root}", "keys[0].metadata.name"),
        ("metadata: {tier: 5}", "keys[0].metadata.tier"),
        ("key: psk-abc", "keys[0].key"),
    ],
)
def test_a_slip_is_told_at_its_place(entry: str, path: str) -> None:
    ((line, found, message),) = slips(entry)
    assert (line, found) == (5, path)
    assert "psk-" not in message


def test_two_keys_of_one_name_or_digest_are_told() -> None:
    other = "f" * 64
    entries = [("ada", DIGEST), ("bob", DIGEST), ("ada", other)]
    text = "version: 1\nkeys:\n" + "".join(f"  - name: {name}\n    sha256: {digest}\n" for name, digest in entries)
    told = [(line, message) for line, _, message in read(text)[1]]
    assert told == [
        (5, "this is the same key as the one at line 3"),
        (7, "the name 'ada' is given to another key at line 3"),
    ]


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, False), (0o620, True), (0o602, True)])
def test_a_file_that_others_may_write_is_told(tmp_path: Path, mode: int, warned: bool) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(FULL)
    file.chmod(mode)
    problems = Problems()
    _, keys = read_key_file(str(file), {}, problems)
    assert len(keys) == 1
    assert [problem.severity for problem in problems.all()] == [Severity.WARNING] * warned


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    problems = Problems()
    assert read_key_file(str(tmp_path / "keys.yaml"), {}, problems) == ("", ())
    assert problems.failed


@given(st.text("keys:version 1-\n[]{}namesha256\"'#&*!\t", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    read(text)
