"""The command line as tests run it, in a folder with route files of their own."""

from dataclasses import dataclass

from typer.testing import CliRunner

from proxy.cli.main import build

CHAT = """\
servers:
  small: {engine: vllm, endpoints: [http://127.0.0.1:9001]}
  next: {endpoints: [http://127.0.0.1:9002], timeout: 20s, retries: 0}
  large: {endpoints: [http://127.0.0.1:9003], retries: 0}
routes:
  - name: chat
    models: [qwen, "qwen-*"]
    rules:
      - name: premium
        match: {headers: {user-type: premium}}
        targets: [{server: large, model: qwen-72b}]
      - name: default
        targets: [{server: small, weight: 70}, {server: next, weight: 30}]
        fallback: [large]
"""
BATCH = """\
routes:
  - name: batch
    rules:
      - name: offline
        matches: [{headers: {x-priority: {regex: "^low$"}}}, {query: {mode: batch}}]
        targets: small
        retries: 0
"""


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    status: int
    output: str
    errors: str


def run(*arguments: str, given: str | bytes | None = None) -> Ran:
    """Run a command with this standard input. It must end by itself, and not by an exception."""
    result = CliRunner().invoke(build(), list(arguments), input=given, prog_name="penstock")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)
