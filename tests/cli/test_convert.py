"""`penstock convert` writes what files say as one native file, and tells on standard error what is wrong with them."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from proxy.cli.convert import convert
from proxy.config.loader import load_texts

ROUTE = """
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  modelName: qwen
  rules: [{targetModels: [{modelServerName: small}]}]
"""
SERVER = """
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {name: small}
spec:
  inferenceEngine: vLLM
  workloadSelector: {matchLabels: {app: small}}
  workloadPort: {port: 8000}
"""
ENDPOINTS = '{"endpoints": [{"address": "10.0.0.1", "labels": {"app": "small"}}]}'
WRITTEN = """\
servers:
  default/small:
    select: {labels: {app: small}, ports: 8000}
    engine: vllm

routes:
  - name: default/chat
    kind: ModelRoute
    models: qwen
    rules:
      - targets: [{server: default/small, weight: 100}]

endpoints:
  - {address: 10.0.0.1, labels: {app: small}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "route.yaml").write_text(f"{ROUTE}---{SERVER}")
    (tmp_path / "routes" / "endpoints.json").write_text(ENDPOINTS)
    return tmp_path


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command("convert")(convert)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_files_of_several_kinds_become_one_native_text() -> None:
    result = run("routes", "--to", "native")
    assert (result.exit_code, result.stdout, result.stderr) == (0, WRITTEN, "")
    assert load_texts({"a.yaml": WRITTEN}).problems == ()


def test_native_is_what_is_written_unless_told_otherwise() -> None:
    assert run("routes").stdout == WRITTEN


def test_an_unknown_kind_is_told_with_those_that_there_are() -> None:
    result = run("routes", "--to", "kthena")
    assert result.exit_code == 2
    assert "'kthena'" in result.stderr
    assert "'native'" in result.stderr


def test_it_is_written_to_a_file(folder: Path) -> None:
    result = run("routes", "--output", "all.yaml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (folder / "all.yaml").read_text() == WRITTEN


def test_a_file_that_is_there_stays_as_it_is_unless_forced(folder: Path) -> None:
    (folder / "all.yaml").write_text("mine")
    result = run("routes", "-o", "all.yaml")
    assert (result.exit_code, result.stderr) == (1, "penstock: all.yaml is there already: --force writes over it\n")
    assert (folder / "all.yaml").read_text() == "mine"
    assert run("routes", "-o", "all.yaml", "--force").exit_code == 0
    assert (folder / "all.yaml").read_text() == WRITTEN


def test_a_file_that_cannot_be_written_is_told() -> None:
    result = run("routes", "-o", "none/all.yaml")
    assert (result.exit_code, result.stderr) == (
        1,
        "penstock: none/all.yaml: cannot be written: no such file or directory\n",
    )


def test_yaml_is_not_written_to_a_file_that_would_be_read_as_json() -> None:
    assert run("routes", "-o", "all.json").exit_code == 2


def test_errors_are_told_with_their_lines_and_nothing_is_written(folder: Path) -> None:
    (folder / "routes" / "bad.yaml").write_text("routes: [{name: r, rules: [{targets: none}]}]")
    result = run("routes", "-o", "all.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "routes/bad.yaml:1:38: error PS131: there is no server 'none'",
        " 1 | routes: [{name: r, rules: [{targets: none}]}]",
        "   |                                      ^  routes[0].rules[0].targets",
    ]
    assert not (folder / "all.yaml").exists()


def test_warnings_are_told_beside_the_result(folder: Path) -> None:
    (folder / "routes" / "endpoints.json").unlink()
    result = run("routes")
    assert result.exit_code == 0
    assert "warning PS135" in result.stderr
    assert result.stdout.startswith("servers:")


def test_values_of_variables_are_written_which_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "servers: {a: {endpoints: [http://h], headers: {authorization: 'Bearer ${TOKEN}', x-a: '${NONE:-b}'}}}"
    (folder / "a.yaml").write_text(text)
    monkeypatch.setenv("TOKEN", "hunter2")
    monkeypatch.delenv("NONE", raising=False)
    result = run("a.yaml")
    assert "headers: {authorization: Bearer hunter2, x-a: b}" in result.stdout
    assert "environment variables (TOKEN): keep it as you keep those" in result.stderr
    assert "hunter2" not in result.stderr


def test_a_key_of_an_engine_is_written_out_which_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.yaml").write_text("servers: {a: {endpoints: [http://h], api_key: '${KEY}'}}")
    monkeypatch.setenv("KEY", "hunter2")
    result = run("a.yaml")
    assert "    api_key: hunter2\n" in result.stdout
    assert "environment variables (KEY): keep it as you keep those" in result.stderr
    assert "hunter2" not in result.stderr


def test_a_path_that_is_not_there_is_told() -> None:
    result = run("none.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none.yaml: error PS108" in result.stderr
