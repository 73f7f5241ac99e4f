"""`penstock create` writes a file that is valid as it stands, and never over another one unasked."""

import json
from pathlib import Path

import pytest

from proxy.cli.create_samples import Sample
from proxy.config.loader import load_texts
from tests.cli.commands import run

SIMPLE = """\
# Every request goes to one server.
# `penstock validate` checks this file, `penstock test` tells where a request goes.

servers:                          # groups of alike endpoints
  default:
    engine: vllm                  # vllm, sglang or openai
    endpoints:                    # more of them share the load
      - http://127.0.0.1:9001

routes:
  - name: My Config
    # models: [qwen, "qwen-*"]    # without it, the route is for requests of any model
    rules:
      - name: default             # no match: it takes every request
        targets: default
"""
ANSWERS = """\
Who goes where
premium
10

user.tier
equals
premium

single
modal
gpt4
https://gpt4.modal.run


no
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_the_text_alone_is_printed() -> None:
    ran = run("create", "My Config")
    assert (ran.status, ran.output, ran.errors) == (0, SIMPLE, "")


@pytest.mark.parametrize("sample", Sample)
@pytest.mark.parametrize("file", ["a.yaml", "a.json"])
def test_what_is_saved_has_no_problem(sample: Sample, file: str) -> None:
    ran = run("create", "My: #Config", "--from", sample, "--output", file)
    assert (ran.status, ran.output, ran.errors) == (0, f"✓ Configuration saved to {file}\n", "")
    checked = run("validate", file, "--strict")
    assert checked.status == 0
    assert checked.output.endswith("1 route: no problem\n")
    assert run("test", file, "--model", "qwen", "--expected", "My: #Config/default").status in {0, 1}


def test_a_file_that_is_there_is_not_written_over_unless_asked(folder: Path) -> None:
    (folder / "a.yaml").write_text("precious")
    ran = run("create", "x", "-o", "a.yaml")
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors == "penstock: a.yaml is there already: --force writes over it\n"
    assert (folder / "a.yaml").read_text() == "precious"
    assert run("create", "x", "-o", "a.yaml", "--force").status == 0
    assert (folder / "a.yaml").read_text().startswith("# Every request")


def test_endpoints_go_to_the_servers_in_their_order() -> None:
    given = ("--endpoint", "http://10.0.0.1:8000", "--endpoint", "https://b/v1")
    output = run("create", "x", "--from", "ab-test", *given).output
    config = load_texts({"a.yaml": output}).config
    assert config is not None
    assert {name: [one.address for one in server.endpoints] for name, server in config.servers.items()} == {
        "control": ["http://10.0.0.1:8000"],
        "variant": ["https://b:443/v1"],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", ), "NAME: a name that is empty"),
        (("a\nb",), "NAME: a control character"),
        (("x", "--endpoint", "ftp://x"), "--endpoint: 'ftp://x' is no URL"),
        (("x", "--endpoint", "http://a", "--endpoint", "http://a"), "--endpoint: an endpoint is listed more than once"),
        (("x", "--from", "premium", *["--endpoint", "http://a"] * 3), "has a use for 2 endpoints, not for 3"),
        (("x", "--format", "mixtrain", "--endpoint", "http://a", "--endpoint", "http://b"), "has one endpoint"),
        (("x", "--format", "native", "-o", "a.json"), "its name ends in .yaml or .yml"),
        (("x", "-i", "--from", "simple"), "--interactive asks for all that"),
        (("x", "--from", "nothing"), "is not one of"),
        ((), "Missing argument"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ran = run("create", *arguments)
    assert (ran.status, ran.output) == (2, "")
    assert message in ran.errors
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_written_is_told() -> None:
    ran = run("create", "x", "-o", "none/a.yaml")
    assert (ran.status, ran.errors) == (1, "penstock: none/a.yaml: cannot be written: no such file or directory\n")


def test_answers_make_a_native_file() -> None:
    ran = run("create", "tiers", "--interactive", "-o", "a.yaml", given=ANSWERS)
    assert (ran.status, ran.output) == (0, "✓ Configuration saved to a.yaml\n")
    assert run("validate", "a.yaml", "--strict").status == 0
    assert run("test", "a.yaml", "-d", '{"user": {"tier": "premium"}}', "-e", "tiers/premium").status == 0
    assert run("test", "a.yaml", "-d", '{"user": {"tier": "free"}}', "-e", "tiers/premium").status == 1


def test_answers_make_a_file_of_mixtrains(folder: Path) -> None:
    ran = run("create", "tiers", "-i", "--format", "mixtrain", given=ANSWERS)
    assert ran.status == 0
    content = json.loads(ran.output)
    assert (content["name"], content["description"]) == ("tiers", "Who goes where")
    (folder / "a.json").write_text(ran.output)
    assert run("validate", "a.json").status == 0


def test_answers_that_end_too_soon_write_nothing(folder: Path) -> None:
    ran = run("create", "tiers", "-i", "-o", "a.yaml", given=ANSWERS[:40])
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors.endswith("penstock: the input ended before all was answered\n")
    assert not (folder / "a.yaml").exists()
