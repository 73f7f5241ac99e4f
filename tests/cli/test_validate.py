"""`penstock validate` shows every problem at its place, and its exit status is the verdict."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from proxy.cli.validate import validate

GOOD = "servers:\n  a:\n    endpoints: [http://h:1]\nroutes:\n  - name: r\n    rules: [{targets: a}]\n"
BAD = GOOD.replace("targets: a", "targets: b")
UNREACHED = GOOD.replace("[{targets: a}]", "[{targets: a}, {targets: a}]")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    (tmp_path / "routes").mkdir()
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command("validate")(validate)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_a_configuration_without_a_problem_passes(folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_text(GOOD)
    assert run("routes") == (0, "1 file with 1 server, 1 route: no problem\n")


def test_an_error_is_shown_with_its_line_and_a_caret_and_fails(folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_text(BAD)
    status, output = run("routes")
    assert status == 1
    assert output.splitlines() == [
        "routes/a.yaml:6:23: error PS131: there is no server 'b'",
        " 6 |     rules: [{targets: b}]",
        "   |                       ^  routes[0].rules[0].targets",
        "1 file: 1 error",
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("api_key: sk-hunter2", "api_key: **********"),
        ("api_keyy: sk-hunter2", "api_keyy: **********"),
        ("auth: {jwt: {jwks: 'https://h:x/k?t=hunter2'}}", "auth: {jwt: {jwks: 'https://h:x/k?*********'}}"),
        (
            "limits: [{requests: 0, redis: 'redis://me:hunter2@h'}]",
            "limits: [{requests: 0, redis: 'redis://me:*******@h'}]",
        ),
    ],
)
def test_a_secret_in_the_line_of_a_problem_is_not_shown(folder: Path, line: str, shown: str) -> None:
    (folder / "routes" / f"{len(line)}.yaml").write_text(GOOD.replace("    endpoints", f"    {line}\n    endpoints"))
    output = run("routes")[1]
    assert "hunter2" not in output
    assert f" 3 |     {shown}\n" in output


def test_a_suggestion_is_shown(folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_text(GOOD.replace("endpoints", "endpoint"))
    assert "unknown key 'endpoint' (did you mean endpoints?)" in run("routes")[1]


def test_a_warning_passes_unless_it_is_strict(folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_text(UNREACHED)
    assert run("routes")[0] == 0
    status, output = run("routes", "--strict")
    assert status == 1
    assert output.endswith("1 file: 1 warning\n")


def test_a_variables_value_is_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    (folder / "routes" / "a.yaml").write_text(GOOD.replace("targets: a", "targets: '${SECRET}'"))
    for form in ("text", "json", "github"):
        status, output = run("routes", "--format", form)
        assert status == 1
        assert "hunter2" not in output


def test_without_a_path_the_settings_and_their_routes_are_validated(folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_text(BAD)
    (folder / "penstock.yaml").write_text("workers: 1\nroutes: routes/\n")
    assert "routes/a.yaml:6:23: error PS131" in run()[1]
    (folder / "penstock.yaml").write_text("workers: none\n")
    status, output = run()
    assert status == 1
    assert output.startswith("penstock.yaml:1:10: error PS110: expected auto or a whole number")


def test_the_settings_file_can_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "routes" / "a.yaml").write_text(GOOD)
    (folder / "other.yaml").write_text("workers: 1\n")
    expected = (0, "2 files with 1 server, 1 route: no problem\n")
    assert run("-c", "other.yaml") == expected
    assert run("other.yaml") == expected
    monkeypatch.setenv("PENSTOCK_CONFIG", "other.yaml")
    assert run() == expected


def test_settings_and_routes_can_be_named_together(folder: Path) -> None:
    (folder / "penstock.yaml").write_text("limits: {max_body: 0}\n")
    (folder / "routes" / "a.yaml").write_text(BAD)
    status, output = run("penstock.yaml", "routes/a.yaml")
    assert status == 1
    assert output.endswith("2 files: 2 errors\n")


def test_a_folder_with_nothing_to_validate_fails(folder: Path) -> None:
    (folder / "routes").rmdir()
    status, output = run()
    assert status == 1
    assert "there is no settings file" in output


def test_a_path_that_is_not_there_fails() -> None:
    assert run("none.yaml") == (1, "none.yaml: error PS108: there is no such file or folder\n0 files: 1 error\n")


def test_programs_get_json(folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_text(BAD)
    status, output = run("routes", "--format", "json")
    answer = json.loads(output)
    assert status == 1
    assert answer["valid"] is False
    assert answer["problems"][0]["severity"] == "error"
    assert (answer["problems"][0]["code"], answer["problems"][0]["line"]) == ("PS131", 6)


def test_github_gets_annotations(folder: Path) -> None:
    (folder / "routes" / "a,b.yaml").write_text(GOOD.replace("endpoints", "endpoint"))
    lines = run("routes", "--format", "github")[1].splitlines()
    assert (
        "::error file=routes/a%2Cb.yaml,line=3,col=5,title=PS111::unknown key 'endpoint' (did you mean endpoints?)"
        in lines
    )


@pytest.mark.parametrize("content", [b"\xff", b"a: [", b"\x00", b"\t", b"x\ty:\n\t- [bold]", b"a: '" + b"x" * 5000])
@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_no_file_makes_it_fall_over(content: bytes, form: str, folder: Path) -> None:
    (folder / "routes" / "a.yaml").write_bytes(content)
    assert run("routes/a.yaml", "--format", form)[0] == 1


def test_no_file_drives_the_terminal(folder: Path) -> None:
    (folder / "routes" / "a.json").write_text('{"servers": {"\x1b[2J": "\x1b]0;title\x07')
    (folder / "routes" / "b.yaml").write_text('kind: "\\e[31m\\nforged"\napiVersion: v1\n')
    (folder / "routes" / "c\x1b[2J\n.yaml").write_text(BAD)
    status, output = run("routes")
    assert status == 1
    assert "PS101" in output
    assert "PS116" in output
    assert "\x1b" not in output
    assert "\nforged" not in output
