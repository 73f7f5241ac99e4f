"""Promises of `penstock keys`."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.access.identity import Identity
from proxy.access.keys import KeyRing, digest_of
from proxy.config.access_spec import Counted, Limit
from tests.cli.commands import Ran, run

KEY = re.compile(r"psk-[0-9A-Za-z]{43}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    return tmp_path


def create(*arguments: str) -> str:
    ran = run("keys", "create", *arguments)
    assert ran.status == 0, ran.errors
    return ran.output.removesuffix("\n")


def identity(key: str, file: str = "keys.yaml") -> Identity | None:
    found = KeyRing(file).find(digest_of(key.encode()))
    return found if isinstance(found, Identity) else None


def test_a_made_key_stands_alone_on_standard_output_and_is_good_at_once() -> None:
    key = create("ada")
    assert KEY.fullmatch(key)
    found = identity(key)
    assert found is not None
    assert found.id == "ada"


def test_the_file_holds_its_digest_alone_and_is_for_its_owner(folder: Path) -> None:
    key = create("ada")
    file = folder / "keys.yaml"
    assert key not in file.read_text()
    assert digest_of(key.encode()).hex() in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_all_that_is_asked_for_is_kept() -> None:
    options = ["--tier=gold", "--model=qwen", "--model=llama-*", "--expires=90d", "--priority=3"]
    limits = ["--limit=requests=100/minute", "--limit=output_tokens=1.5/day"]
    key = create("ada", *options, *limits, "--metadata", "team=search", "--metadata", "level=3", "--metadata", "x=")
    found = identity(key)
    assert found is not None
    assert found.models == ("qwen", "llama-*")
    per_minute, per_day = Limit(Counted.REQUESTS, 100.0, "minute"), Limit(Counted.OUTPUT_TOKENS, 1.5, "day")
    assert (found.limits, found.priority) == ((per_minute, per_day), 3)
    assert {"tier": "gold", "team": "search", "level": 3, "x": ""}.items() <= found.data.items()
    (shown,) = json.loads(run("keys", "list", "-o", "json").output)
    assert shown["expires"] > shown["created"]


@pytest.mark.parametrize("name", ["${HOME}", "a: b", "#1", "yes", "5", "null", "ä", "'\"", "- x", "a b"])
def test_a_name_is_taken_as_it_stands(name: str) -> None:
    found = identity(create("--", name))
    assert found is not None
    assert found.id == name


@pytest.mark.parametrize(
    "options",
    [
        ["--expires", "soon"],
        ["--expires", "90"],
        ["--expires", "90.5"],
        ["--expires", "0s"],
        ["--expires", "1us"],
        ["--expires", "367d"],
        ["--expires", "2020-01-31"],
        ["--expires", "2999-02-31"],
        ["--expires", "9999-12-31T23:59:59-10:00"],
        ["--limit", "requests"],
        ["--limit", "requests=1/year"],
        ["--limit", "calls=1/day"],
        ["--metadata", "team"],
        ["--priority", "10000000"],
    ],
)
def test_an_option_that_makes_no_sense_is_a_slip_of_usage(options: list[str], folder: Path) -> None:
    ran = run("keys", "create", "ada", *options)
    assert (ran.status, ran.output) == (2, "")
    assert not (folder / "keys.yaml").exists()


@pytest.mark.parametrize(
    ("until", "kept"),
    [
        ("2999-01-31", "2999-01-31T00:00:00Z"),
        ("2999-01-31T18:00:00Z", "2999-01-31T18:00:00Z"),
        ("2999-01-31T18:00:00+02:00", "2999-01-31T16:00:00Z"),
    ],
)
def test_a_key_may_end_at_a_date(until: str, kept: str) -> None:
    create("ada", "--expires", until)
    (key,) = json.loads(run("keys", "list", "-o", "json").output)
    assert key["expires"] == kept


def test_the_help_tells_how_long_a_key_may_be_good() -> None:
    said = " ".join(run("keys", "create", "--help").output.replace("│", " ").split())
    assert "from 1s to 366d" in said


@pytest.mark.parametrize("more", [["--metadata", "id=root"], ["--limit", "requests=0/day"], ["--tier", "a\nb"], []])
def test_what_the_file_could_not_hold_changes_nothing(more: list[str], folder: Path) -> None:
    create("bob")
    before = (folder / "keys.yaml").read_text()
    ran = run("keys", "create", "ada" if more else " ada", *more)
    assert (ran.status, ran.output) == (1, "")
    assert (folder / "keys.yaml").read_text() == before


def test_a_name_is_given_once() -> None:
    create("ada")
    ran = run("keys", "create", "ada")
    assert (ran.status, ran.output) == (1, "")
    assert "there is a key of the name 'ada'" in ran.errors


def test_a_revoked_key_is_gone() -> None:
    key, other = create("ada"), create("bob")
    assert run("keys", "revoke", "ada").status == 0
    assert (identity(key), identity(other) is None) == (None, False)
    again = run("keys", "revoke", "ada")
    assert (again.status, "there is no key of the name 'ada'" in again.errors) == (1, True)


def test_revoking_where_there_is_no_file_is_told() -> None:
    ran = run("keys", "revoke", "ada")
    assert (ran.status, ran.errors) == (1, "penstock: there is no file keys.yaml\n")


def test_the_list_shows_the_beginning_of_a_digest_and_no_more() -> None:
    digest = digest_of(create("ada", "--tier", "gold").encode()).hex()
    for output in ("table", "json"):
        shown = run("keys", "list", "-o", output).output
        assert "gold" in shown
        assert digest[:8] in shown
        assert digest[:9] not in shown


def test_the_list_tells_what_has_expired(folder: Path) -> None:
    digest = "a" * 64
    (folder / "keys.yaml").write_text(f"version: 1\nkeys: [{{name: ada, sha256: {digest}, expires: 2020-01-01}}]\n")
    assert "2020-01-01T00:00:00Z (expired)" in run("keys", "list").output


def shows_no_key(ran: Ran) -> bool:
    return "psk-" not in ran.output + ran.errors


def test_a_key_that_was_written_into_the_file_as_it_is_is_never_shown(folder: Path) -> None:
    text = "version: 1\nkeys:\n  - name: ada\n    sha256: psk-in-clear\n  - name: bob\n    key: psk-in-clear\n"
    (folder / "keys.yaml").write_text(text)
    for command in (["create", "eve"], ["list"], ["revoke", "ada"]):
        ran = run("keys", *command)
        assert ran.status == 1
        assert "keys.yaml:4:" in ran.errors
        assert shows_no_key(ran)


def test_the_file_is_sought_beside_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config").mkdir()
    (folder / "config" / "penstock.yaml").write_text("routes: routes\n")
    create("ada")
    assert (folder / "config" / "keys.yaml").exists()
    (folder / "elsewhere").mkdir()
    monkeypatch.setenv("PENSTOCK_CONFIG", str(folder / "elsewhere" / "penstock.yaml"))
    create("ada")
    assert (folder / "elsewhere" / "keys.yaml").exists()
    create("ada", "--file", "here.yaml")
    assert (folder / "here.yaml").exists()


def test_a_folder_that_is_not_there_is_told() -> None:
    ran = run("keys", "create", "ada", "--file", "none/keys.yaml")
    assert ran.status == 1
    assert ran.errors == "penstock: none/keys.yaml cannot be changed: no such file or directory\n"


def test_many_at_once_lose_no_key(folder: Path) -> None:
    command = [sys.executable, "-m", "proxy.cli.main", "keys", "create"]
    started = [
        subprocess.Popen([*command, f"key-{i}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for i in range(4)
    ]
    made = [process.communicate()[0].strip() for process in started]
    ring = KeyRing(str(folder / "keys.yaml"))
    assert len(ring) == 4
    assert all(isinstance(ring.find(digest_of(key.encode())), Identity) for key in made)


def test_its_help_names_its_commands() -> None:
    ran = run("keys", "--help")
    assert ran.status == 0
    assert all(command in ran.output for command in ("create", "list", "revoke"))
