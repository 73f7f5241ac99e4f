"""`penstock coverage` tells which rules are reached; its status says whether those are enough."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import BATCH, run
from tests.routing.test_log_lines import exchange, json_line, text_line

QWEN, PREMIUM = {"model": "qwen"}, {"body": {"model": "qwen"}, "headers": {"user-type": "premium"}}
OFFLINE, UNKNOWN = {"path": "/v1/x", "query": {"mode": "batch"}}, {"model": "gpt-5"}

TWO_OF_THREE = """\
Rule Coverage Analysis
  Metric               Value
  Total Requests       4
  Total Rules          3
  Covered Rules        2
  Coverage Percentage  66.7%
  Unmatched Requests   1

Rule Hit Counts
  Rule Name      Hits
  chat/premium   1
  chat/default   2
  batch/offline  0

Uncovered Rules (1):
  • batch/offline

Requests that no rule takes, for example:
  line 1: {"model":"gpt-5"}

Warning: Rule coverage is below 80% (66.7%)
"""


def covered(routes: Path, *requests: object) -> tuple[int, str]:
    (routes / "r.json").write_text(json.dumps(requests))
    ran = run("coverage", "routes", "r.json")
    assert ran.errors == ""
    return ran.status, ran.output


def test_rules_are_counted_and_too_few_of_them_fail(routes: Path) -> None:
    assert covered(routes, QWEN, PREMIUM, UNKNOWN, QWEN) == (1, TWO_OF_THREE)


def test_enough_rules_pass(routes: Path) -> None:
    status, output = covered(routes, QWEN, PREMIUM, OFFLINE)
    assert status == 0
    assert "Coverage Percentage  100.0%" in output
    assert "Warning" not in output
    assert "Uncovered" not in output


def test_exactly_the_lowest_coverage_passes(routes: Path) -> None:
    (routes / "routes" / "more.yaml").write_text(
        BATCH + BATCH[BATCH.index("      - name") :].replace("offline", "other")
    )
    (routes / "r.json").write_text(json.dumps([QWEN, PREMIUM, OFFLINE]))
    assert run("coverage", "routes", "r.json", "--min", "75").status == 0
    ran = run("coverage", "routes", "r.json", "--min", "75.5")
    assert ran.status == 1
    assert ran.output.endswith("Warning: Rule coverage is below 75.5% (75.0%)\n")
    assert run("coverage", "routes", "r.json", "--min", "101").status == 2


@pytest.mark.usefixtures("routes")
def test_json_lines_come_from_standard_input_too() -> None:
    lines = "\n".join(map(json.dumps, [QWEN, PREMIUM, UNKNOWN, QWEN]))
    ran = run("coverage", "routes", "-", given=lines)
    assert (ran.status, ran.output) == (1, TWO_OF_THREE.replace("line 1", "line 3"))


def test_several_paths_come_before_the_requests(routes: Path) -> None:
    (routes / "r.json").write_text("[]")
    ran = run("coverage", "routes/chat.yaml", "routes/more.yaml", "r.json", "--min", "0")
    assert ran.status == 0
    assert "Total Rules          3\n" in ran.output


def test_programs_get_json_with_mixtrains_keys(routes: Path) -> None:
    (routes / "r.json").write_text(json.dumps([QWEN, UNKNOWN]))
    ran = run("coverage", "routes", "r.json", "--format", "json", "--min", "33")
    answer = json.loads(ran.output)
    assert ran.status == 0
    assert answer["rule_hits"] == {"chat/premium": 0, "chat/default": 1, "batch/offline": 0}
    assert answer["uncovered_rules"] == ["chat/premium", "batch/offline"]
    assert answer["coverage_percentage"] == pytest.approx(100 / 3)
    assert (answer["total_requests"], answer["total_rules"], answer["covered_rules"]) == (2, 3, 1)
    assert (answer["unmatched_requests"], answer["min"], answer["passes"], answer["log"]) == (1, 33.0, True, None)
    assert answer["unmatched_examples"] == [{"line": 1, "request": '{"model":"gpt-5"}'}]


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_access_log_is_routed_anew_and_what_it_lacks_is_told(routes: Path, form: str) -> None:
    lines = [
        exchange(model="qwen", route="chat", rule="default"),
        exchange(model="qwen", route="chat", rule="premium"),
        exchange(target="/health"),
    ]
    spelled = [text_line(line) if form == "text" else json.dumps(json_line(line)) + "\n" for line in lines]
    (routes / "access.log").write_text("".join(spelled) + "{cut")
    ran = run("coverage", "routes", "access.log")
    assert ran.status == 1
    section = ran.output.partition("From the access log\n")[2]
    assert section.splitlines()[:5] == [
        "  The log holds no headers, query strings and bodies, so conditions on them are judged as if there were none.",
        "  Of 3 lines, 1 name another rule than the one that they come to here.",
        "  Left out: 1 line about which no route was asked.",
        "  Left out: 1 line that cannot be read.",
        "  Rules that ask for such things: chat/premium, batch/offline",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "r.json: line 1: not a JSON object on a line of its own"),
        ('[{"a": 1},\n{]', "r.json: line 2: not JSON"),
        (
            "hello",
            "r.json: line 1: expected a JSON array of requests, a JSON object on each line, or lines of the access log",
        ),
    ],
)
def test_what_is_no_request_is_told_with_its_line(routes: Path, content: str, message: str) -> None:
    (routes / "r.json").write_text(content)
    ran = run("coverage", "routes", "r.json")
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors.startswith(f"penstock: {message}")


@pytest.mark.usefixtures("routes")
def test_a_file_that_is_not_there_is_told() -> None:
    ran = run("coverage", "routes", "none.json")
    assert (ran.status, ran.errors) == (1, "penstock: none.json: cannot be read: no such file or directory\n")
    assert run("coverage", "routes").status == 2


def test_no_request_drives_the_terminal(routes: Path) -> None:
    for form in ("text", "json"):
        (routes / "r.json").write_text(json.dumps([{"model": "\x1b[2J[red]"}], ensure_ascii=False))
        output = run("coverage", "routes", "r.json", "--format", form).output
        assert "\x1b" not in output
        assert "[red]" in output
