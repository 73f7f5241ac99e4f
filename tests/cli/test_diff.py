"""`penstock diff` tells what differs; its status is diff's."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import CHAT, run

NEW = (
    CHAT.replace("weight: 70", "weight: 1")
    .replace("weight: 30", "weight: 1")
    .replace("user-type: premium", "user-type: gold")
)
TOLD = """\
~ route chat, rule premium: when header user-type is 'premium' → header user-type is 'gold'
~ route chat, rule default: small 70% → 50%, next 30% → 50%

2 changed
"""
REQUESTS = [
    {"body": {"model": "qwen"}, "headers": {"user-type": "premium"}},
    {"model": "qwen"},
    {"model": "gpt-5"},
]


@pytest.fixture
def new(routes: Path) -> Path:
    (routes / "new.yaml").write_text(NEW)
    return routes


@pytest.mark.usefixtures("new")
def test_what_differs_is_told() -> None:
    ran = run("diff", "routes/chat.yaml", "new.yaml")
    assert (ran.status, ran.output, ran.errors) == (1, TOLD, "")


@pytest.mark.usefixtures("routes")
def test_nothing_differs() -> None:
    ran = run("diff", "routes", "routes/*.yaml")
    assert (ran.status, ran.output) == (0, "no difference\n")
    answer = json.loads(run("diff", "routes", "routes", "--format", "json").output)
    assert answer == {"differs": False, "changes": [], "requests": None}


@pytest.mark.usefixtures("routes")
def test_parts_that_are_new_or_gone_have_signs() -> None:
    assert run("diff", "routes", "routes/chat.yaml").output == "- route batch\n\n1 removed\n"
    assert run("diff", "routes/chat.yaml", "routes").output == (
        "+ route batch: for requests of any model, 1 rule to small\n\n1 added\n"
    )


def test_requests_that_would_go_elsewhere_are_grouped(new: Path) -> None:
    (new / "r.json").write_text(json.dumps([*REQUESTS, REQUESTS[0]]))
    ran = run("diff", "routes/chat.yaml", "new.yaml", "--requests", "r.json")
    assert ran.status == 1
    assert ran.output == (
        TOLD + "\n3 of 4 requests would go elsewhere\n"
        '  2 of 4 requests: chat/premium → chat/default (e.g. user-type: premium {"model":"qwen"})\n'
        '  1 of 4 requests: stay with chat/default, whose targets differ (e.g. {"model":"qwen"})\n'
    )


def test_what_no_rule_takes_any_more_is_told_and_what_one_takes_now(new: Path) -> None:
    (new / "new.yaml").write_text(CHAT.replace('[qwen, "qwen-*"]', "gpt-5"))
    (new / "r.jsonl").write_text("\n".join(map(json.dumps, REQUESTS)))
    output = run("diff", "routes/chat.yaml", "new.yaml", "--requests", "r.jsonl").output
    assert "1 of 3 requests: chat/premium → no rule (newly unmatched)" in output
    assert '1 of 3 requests: no rule → chat/default (newly matched) (e.g. {"model":"gpt-5"})' in output


def test_programs_get_json(new: Path) -> None:
    (new / "r.json").write_text(json.dumps(REQUESTS))
    ran = run("diff", "routes/chat.yaml", "new.yaml", "--requests", "-", "--format", "json", given=json.dumps(REQUESTS))
    answer = json.loads(ran.output)
    assert ran.status == 1
    assert answer["changes"][1] == {
        "action": "changed",
        "part": "rule",
        "route": "chat",
        "name": "default",
        "details": ["small 70% → 50%", "next 30% → 50%"],
    }
    assert answer["requests"]["total"] == 3
    assert answer["requests"]["moves"][0]["old"] == "chat/premium"


@pytest.mark.usefixtures("new")
def test_what_an_access_log_lacks_is_told(new: Path) -> None:
    line = "2026-11-20T13:37:38.123Z h POST /v1/x 200 1ms ttfb=1ms model=qwen route=chat/premium server=s in=1\n"
    (new / "access.log").write_text(line * 2)
    output = run("diff", "routes/chat.yaml", "new.yaml", "--requests", "access.log").output
    assert "From the access log\n  The log holds no headers" in output
    assert "Of 2 lines, 2 name another rule" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("routes", "none.yaml"), "none.yaml: error PS108"),
        (("bad.yaml", "routes"), "bad.yaml:1:1: error PS111"),
        (("routes", "routes", "--requests", "none"), "none: cannot be read"),
        (("routes", "routes", "--requests", "bad.yaml"), "bad.yaml: line 1: expected"),
    ],
)
def test_what_cannot_be_read_is_neither_yes_nor_no(routes: Path, arguments: tuple[str, ...], message: str) -> None:
    (routes / "bad.yaml").write_text("what: is this\n")
    ran = run("diff", *arguments)
    assert (ran.status, ran.output) == (2, "")
    assert message in ran.errors
    assert run("diff", "routes").status == 2
