"""`penstock explain` tells a configuration in words, in three forms."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import CHAT, run

PARTS = """\
Route chat at routes/chat.yaml:6
  models: qwen, qwen-*
  1. premium at routes/chat.yaml:9
     when header user-type is 'premium'
     → large (model qwen-72b)
     timeouts: connect 5s, first byte 10m, idle 5m; retries: none
  2. default at routes/chat.yaml:12
     always
     → small 70%, next 30%
     fallback: large
     small: timeouts: connect 5s, first byte 10m, idle 5m; retries: 2 on connect-failure, reset, 502, 503, 504, first \
pause up to 25ms
     next: timeouts: connect 5s, first byte 20s, idle 20s; retries: none
     large: timeouts: connect 5s, first byte 10m, idle 5m; retries: none

Route batch at routes/more.yaml:2
  models: any, or none
  1. offline at routes/more.yaml:4
     when header x-priority matches '^low$'
     or query parameter mode is 'batch'
     → small
     timeouts: connect 5s, first byte 10m, idle 5m; retries: none

Server small at routes/chat.yaml:2
  engine: vllm
  endpoints, least-request: http://127.0.0.1:9001
  timeouts: connect 5s, first byte 10m, idle 5m
  retries: 2 on connect-failure, reset, 502, 503, 504, first pause up to 25ms; budget: 20%
"""
TABLES = """\
Configuration Overview
  Property       Value
  Total Rules    3
  Enabled Rules  3
  Routes         2
  Servers        3
  Files          routes/chat.yaml, routes/more.yaml

Routing Rules
  Name           Strategy        Conditions  Targets  Status
  chat/premium   single          1           1        Enabled
  chat/default   split+fallback  0           3        Enabled
  batch/offline  single          2           1        Enabled

A request's candidates are asked in this order: routes that name its model exactly, then"""


@pytest.mark.usefixtures("routes")
def test_tables_tell_the_whole_and_lines_each_part() -> None:
    ran = run("explain", "routes")
    assert (ran.status, ran.errors) == (0, "")
    assert ran.output.startswith(TABLES)
    assert PARTS in ran.output


def test_markdown_has_mixtrains_headings(routes: Path) -> None:
    text = CHAT.replace("  - name: chat\n", "  - name: chat_x[y]\n    description: 'For *all*'\n")
    (routes / "routes" / "chat.yaml").write_text(
        text.replace("name: default", "name: default_rule\n        enabled: false")
    )
    ran = run("explain", "routes/chat.yaml", "--format", "markdown")
    assert ran.status == 0
    lines = ran.output.splitlines()
    assert lines[:8] == [
        r"# Routing Configuration: chat_x\[y\]",
        "",
        r"For \*all\*",
        "",
        "## Overview",
        "",
        "- **Total Rules**: 2",
        "- **Enabled Rules**: 1",
    ]
    assert "## Rules" in lines
    place = lines.index("### default_rule (Order: 2)")
    assert lines[place + 2 : place + 14] == [
        "**Status**: ❌ Disabled  ",
        "**Strategy**: split+fallback  ",
        "**Description**: None",
        "",
        "**Conditions** (0):",
        "",
        "None: it takes every request.",
        "",
        "**Targets** (3):",
        "",
        "1. **small** 70% (weight: 70)",
        "2. **next** 30% (weight: 30)",
    ]
    assert "3. fallback **large**" in lines
    assert "1. header user-type is 'premium'" in lines
    assert "### small" in lines


@pytest.mark.usefixtures("routes")
def test_several_routes_have_a_heading_each() -> None:
    output = run("explain", "routes", "-f", "markdown").output
    assert output.startswith("# Routing Configuration: routes/chat.yaml, routes/more.yaml\n")
    assert "\n## Route chat\n" in output
    assert "\n- any of: query parameter mode is 'batch'\n" in output


@pytest.mark.usefixtures("routes")
def test_json_is_json() -> None:
    answer = json.loads(run("explain", "routes", "--format", "json").output)
    assert [route["name"] for route in answer["routes"]] == ["chat", "batch"]
    rule = answer["routes"][0]["rules"][1]
    assert [(target["server"], target["share"]) for target in rule["targets"]] == [("small", 0.7), ("next", 0.3)]
    assert answer["routes"][0]["rules"][0]["matches"] == [["header user-type is 'premium'"]]
    assert answer["servers"][0]["origin"] == "routes/chat.yaml:2"
    assert answer["total_rules"] == 3


@pytest.mark.usefixtures("routes")
def test_another_form_is_refused() -> None:
    ran = run("explain", "routes", "--format", "html")
    assert (ran.status, ran.output) == (2, "")


@pytest.mark.parametrize("form", ["table", "json", "markdown"])
def test_no_name_drives_the_terminal_or_is_markup_and_none_is_cut(routes: Path, form: str) -> None:
    odd = '"[bold]\\e[2J\\u202e<b>' + "x" * 120 + '"'
    text = CHAT.replace("name: default", f"name: default\n        description: {odd}").replace(
        "name: chat", f"description: {odd}\n    name: chat"
    )
    (routes / "routes" / "chat.yaml").write_text(text)
    ran = run("explain", "routes", "--format", form)
    assert ran.status == 0, ran.errors
    assert "\x1b" not in ran.output
    assert "\u202e" not in ran.output
    assert "x" * 120 in ran.output
    assert "bold" in ran.output
    assert form != "markdown" or r"\[bold\]" in ran.output


@pytest.mark.parametrize("form", ["table", "json", "markdown"])
def test_values_of_variables_are_shown_but_no_credential(
    routes: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIER", "gold")
    monkeypatch.setenv("KEY", "s3cret")
    text = CHAT.replace("user-type: premium", "user-type: '${TIER}', authorization: '${KEY}'")
    text = text.replace("{engine: vllm,", "{engine: vllm, headers: {Authorization: '${KEY}', x-tier: '${TIER}'},")
    (routes / "routes" / "chat.yaml").write_text(text)
    ran = run("explain", "routes", "--format", form)
    assert ran.status == 0, ran.errors
    assert "gold" in ran.output
    assert "s3cret" not in ran.output


def test_errors_are_told(routes: Path) -> None:
    (routes / "routes" / "more.yaml").write_text("routes: 1\n")
    ran = run("explain", "routes")
    assert (ran.status, ran.output) == (1, "")
    assert "routes/more.yaml:1:9: error" in ran.errors
