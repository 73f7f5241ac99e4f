"""`penstock test` tells where a request would go; its status says whether that was expected."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli import test as command
from proxy.cli.test import Given, sample_from
from tests.cli.commands import CHAT, run

DEFAULT = """\
✓ Matched Rule: default
Strategy: split+fallback
Selected Targets: 2

Explanation: Matched rule 'default' of route 'chat' (holds always)

Request: POST /v1/chat/completions, model 'qwen'
Route: chat
Rule: default at routes/chat.yaml:12

Targets
  Share       Server  Model sent  Endpoints
  70%         small   qwen        http://127.0.0.1:9001
  30%         next    qwen        http://127.0.0.1:9002
  fallback 1  large   qwen        http://127.0.0.1:9003

Timeouts and retries
  Server  Connect  First byte  Idle  Total  Retries
  small   5s       10m         5m    none   2 on connect-failure, reset, 502, 503, 504, first pause up to 25ms
  next    5s       20s         20s   none   none
  large   5s       10m         5m    none   none

Not matched
  chat/premium
    ✗ header user-type is 'premium' (it is absent)
"""
NOTHING = """\
✗ No rules matched

Explanation: No rules matched the request: no route names the model 'gpt-5', and no rule for any model holds

Request: POST /v1/chat/completions, model 'gpt-5'

Rules tried
  1. ✗ batch/offline
     ✗ header x-priority matches '^low$' (it is 'high')
     or
     ✗ query parameter mode is 'batch' (it is absent)
"""


@pytest.mark.usefixtures("routes")
def test_where_a_request_would_go_is_told_with_all_that_is_settled() -> None:
    ran = run("test", "routes", "--model", "qwen")
    assert (ran.status, ran.output, ran.errors) == (0, DEFAULT, "")


@pytest.mark.usefixtures("routes")
def test_that_no_rule_matches_is_no_failure_unless_one_is_expected() -> None:
    arguments = ("test", "routes", "--model", "gpt-5", "--header", "X-Priority: high", "--verbose")
    ran = run(*arguments)
    assert (ran.status, ran.output) == (0, NOTHING)
    ran = run(*arguments, "--expected", "offline")
    assert ran.status == 1
    assert "no rule for any model holds (expected 'offline', no rule matched)\n" in ran.output


@pytest.mark.usefixtures("routes")
@pytest.mark.parametrize(
    ("expected", "status"), [("default", 0), ("chat/default", 0), ("", 0), ("premium", 1), ("batch/default", 1)]
)
def test_the_status_says_whether_the_expected_rule_took_it(expected: str, status: int) -> None:
    ran = run("test", "routes", "--model", "qwen", "-e", expected)
    assert ran.status == status
    assert f"(expected '{expected}')" * status in ran.output
    answer = json.loads(run("test", "routes", "--model", "qwen", "-e", expected, "--format", "json").output)
    assert answer.get("matched_expected", True) is (status == 0)


@pytest.mark.parametrize(
    "content", [{"body": {"model": "qwen"}, "headers": {"User-Type": "premium"}}, {"model": "qwen"}]
)
def test_a_file_holds_a_request_or_its_body(routes: Path, content: dict[str, object]) -> None:
    (routes / "r.json").write_text(json.dumps(content))
    rule = "premium" if "body" in content else "default"
    assert run("test", "routes", "--request", "r.json").output.startswith(f"✓ Matched Rule: {rule}\n")
    assert run("test", "routes", "-r", "-", given=json.dumps(content)).output.startswith(f"✓ Matched Rule: {rule}\n")


def test_a_file_wins_over_data_and_single_options_over_both(routes: Path) -> None:
    (routes / "r.json").write_text('{"body": {"model": "gpt-5"}, "headers": {"User-Type": "free", "a": "b"}}')
    given = ("test", "routes", "-r", "r.json", "-d", '{"model": "qwen"}', "--format", "json")
    assert json.loads(run(*given).output)["request"]["model"] == "gpt-5"
    answer = json.loads(run(*given, "--model", "qwen", "--header", "user-type:premium").output)
    assert answer["rule"] == "premium"
    assert answer["request"]["headers"] == {"user-type": "premium", "a": "b"}


@pytest.mark.usefixtures("routes")
def test_method_path_and_query_can_be_given() -> None:
    given = ("--path", "/v1/models?a=1", "--query", "mode=batch", "--query", "flag=")
    ran = run("test", "routes", *given, "--format", "json")
    answer = json.loads(ran.output)
    assert (answer["route"], answer["rule"]) == ("batch", "offline")
    assert answer["request"] == {
        "method": "GET",
        "path": "/v1/models",
        "model": None,
        "headers": {},
        "query": {"a": "1", "mode": "batch", "flag": ""},
    }
    assert json.loads(run("test", "routes", "--method", "put", "--format", "json").output)["request"]["method"] == "PUT"


@pytest.mark.usefixtures("routes")
def test_what_is_given_twice_is_what_the_proxy_makes_of_it() -> None:
    given = ("--header", "X-A: 1", "--header", "x-a:2", "--query", "q=1", "--query", "q=2")
    request = json.loads(run("test", "routes", *given, "--format", "json").output)["request"]
    assert (request["headers"], request["query"]) == ({"x-a": "1, 2"}, {"q": "1"})


@pytest.mark.usefixtures("routes")
def test_programs_get_json() -> None:
    answer = json.loads(run("test", "routes", "--model", "qwen", "--format", "json").output)
    assert (answer["matched"], answer["strategy"], answer["selected_targets"]) == (True, "split+fallback", 2)
    assert [(target["server"], target["share"]) for target in answer["targets"]] == [("small", 0.7), ("next", 0.3)]
    assert answer["targets"][0]["retries"]["failures"] == ["connect-failure", "reset"]
    assert answer["tried"][0]["matches"] == [
        [{"condition": "header user-type is 'premium'", "holds": False, "found": "absent"}]
    ]
    assert answer["origin"] == "routes/chat.yaml:12"
    assert json.loads(run("test", "routes", "--model", "x", "--format", "json").output)["origin"] is None


@pytest.mark.usefixtures("routes")
def test_credentials_are_not_shown() -> None:
    for form in ("text", "json"):
        ran = run(
            "test", "routes", "--model", "qwen", "--header", "Authorization: Bearer s3cret", "--format", form, "-v"
        )
        assert ran.status == 0
        assert "s3cret" not in ran.output


@pytest.mark.usefixtures("routes")
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "say which request"),
        (("--header", "x"), 2, "--header needs a name"),
        (("--header", ":x"), 2, "--header needs a name"),
        (("--query", "x"), 2, "--query needs a name"),
        (("-d", "[1]", "--model", "m"), 1, "a list of requests"),
        (("-d", "1", "--model", "m"), 2, "--model needs a body"),
        (("-d", "{"), 1, "--data: not JSON"),
        (("-d", '{"a": NaN}'), 1, "--data: not JSON"),
        (("-r", "none.json"), 1, "none.json: cannot be read: no such file or directory"),
        (("-r", "routes"), 1, "routes: cannot be read: is a directory"),
        (("--path", ""), 1, "'path' of a request must be a text"),
        (("--format", "xml", "-d", "{}"), 2, "'xml' is not one of"),
    ],
)
def test_what_cannot_be_understood_is_told_on_standard_error(
    arguments: tuple[str, ...], status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ran = run("test", "routes", *arguments)
    assert (ran.status, ran.output) == (status, "")
    assert message in ran.errors


@pytest.mark.parametrize("content", ['[{"model": "qwen"}]', '{"model": "qwen"}\n{"model": "qwen"}\n'])
def test_several_requests_are_coverages_business(routes: Path, content: str) -> None:
    (routes / "r.json").write_text(content)
    ran = run("test", "routes", "-r", "r.json")
    assert ran.status == 1
    assert "penstock coverage takes those" in ran.errors


def test_what_is_nearly_a_request_is_a_body_and_told(routes: Path) -> None:
    (routes / "r.json").write_text('{"method": "GET", "model": "qwen"}')
    ran = run("test", "routes", "-r", "r.json")
    assert ran.output.startswith("✓ Matched Rule: default")
    assert ran.errors == (
        "penstock: taken as a body: a request has body, headers, method, path, query, and not 'model'\n"
    )


def test_a_part_of_the_wrong_type_is_told(routes: Path) -> None:
    (routes / "r.json").write_text('{"method": "GET", "headers": {"a": []}}')
    ran = run("test", "routes", "-r", "r.json")
    assert (ran.status, ran.errors) == (1, "penstock: 'headers' of a request must be an object of texts\n")


def test_errors_of_the_configuration_are_told_as_validate_tells_them(routes: Path) -> None:
    (routes / "routes" / "chat.yaml").write_text(CHAT.replace("[large]", "[larg]"))
    ran = run("test", "routes", "--model", "qwen")
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors.splitlines() == [
        "routes/chat.yaml:14:20: error PS131: there is no server 'larg' (did you mean large?)",
        " 14 |         fallback: [larg]",
        "    |                    ^  routes[0].rules[1].fallback[0]",
        "penstock: 1 error: the configuration cannot be used",
    ]


def test_warnings_are_counted_alone(routes: Path) -> None:
    (routes / "routes" / "chat.yaml").write_text(CHAT + "      - targets: small\n")
    ran = run("test", "routes", "--model", "qwen")
    assert ran.status == 0
    assert ran.errors == "penstock: 1 warning: see penstock validate routes\n"


def test_a_settings_file_stands_for_the_routes_that_it_names(routes: Path) -> None:
    (routes / "penstock.yaml").write_text("workers: 1\n")
    assert run("test", "penstock.yaml", "--model", "qwen").output == DEFAULT
    (routes / "penstock.yaml").write_text("workers: none\n")
    ran = run("test", "penstock.yaml", "--model", "qwen")
    assert ran.status == 1
    assert "penstock.yaml:1:10: error PS110" in ran.errors


def test_a_server_that_is_not_asked_and_headers_that_are_set_are_told(routes: Path) -> None:
    config = CHAT.replace("endpoints: [http://127.0.0.1:9001]", "endpoints: [], headers: {X-A: secret}")
    (routes / "routes" / "chat.yaml").write_text(config)
    output = run("test", "routes", "--model", "qwen").output
    assert "\nNot asked\n  503: no endpoint of the model server 'small' is available: it has no endpoints\n" in output
    assert "\nHeaders set\n  small: x-a\n" in output.lower().replace("headers set", "Headers set")
    assert "secret" not in output


@pytest.mark.usefixtures("routes")
def test_no_request_drives_the_terminal() -> None:
    odd = "\x1b[2J[bold]\u202e"
    for form in ("text", "json"):
        ran = run(
            "test",
            "routes",
            "--model",
            odd,
            "--path",
            f"/{odd}",
            "--header",
            f"user-type:{odd}",
            "-v",
            "--format",
            form,
        )
        assert ran.status == 0
        assert "\x1b" not in ran.output
        assert "\u202e" not in ran.output
        assert "[bold]" in ran.output


def test_whoever_sits_at_a_terminal_is_asked_until_it_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["{", '{"model": "qwen"}'])
    monkeypatch.setattr(command, "is_interactive", lambda: True)
    monkeypatch.setattr(command, "ask", lambda _: next(answers))
    request = sample_from(Given(None, None, None, None, (), (), None))
    assert request.model == "qwen"
    assert "penstock: not JSON" in capsys.readouterr().err


@pytest.mark.usefixtures("routes")
def test_the_question_is_asked_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    command_line = [sys.executable, "-m", "proxy.cli.main", "test", "routes"]
    environment = {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2])}
    with subprocess.Popen(
        command_line, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        os.write(ours, b'hello\n{"model": "qwen"}\n')
        output, errors = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert output == DEFAULT
    assert errors.startswith("Request data: penstock: not JSON")
    assert errors.endswith("Request data: ")
