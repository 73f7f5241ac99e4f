"""Promises of the access log's lines."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import PenstockError
from proxy.forwarding.exchange import Attempt, Exchange, FailedLink
from proxy.telemetry.access_log import AccessLog, JsonLines, TextLines, Timestamps

Make = Callable[..., Exchange]
NOON = 1_795_181_858.123  # 2026-11-20T13:37:38.123Z
ANYTHING = st.text(st.characters(exclude_categories=()))
ONLY_SOME = {"caller", "chain", "queued", "input_tokens", "output_tokens", "cached_tokens"}
NOT_TOLD = {"trial", "first_body", "last_body"}


def noon() -> float:
    return NOON


def text_line(exchange: Exchange) -> str:
    return TextLines(noon).line(exchange).decode()


def test_a_text_line_tells_the_whole_story(exchange: Make) -> None:
    assert text_line(exchange()) == (
        "2026-11-20T13:37:38.123Z 10.0.0.9 POST /v1/chat/completions 200 12.3ms ttfb=4.5ms model=qwen"
        " route=chat/default server=qwen-7b endpoint=http://10.0.0.11:8000 sent=-"
        " in=850 out=600 id=0a1b2c tries=1 failure=-\n"
    )


def test_what_did_not_happen_is_a_dash(exchange: Make) -> None:
    nothing: dict[str, object] = {
        "model": None,
        "route": "",
        "rule": "",
        "server": "",
        "endpoint": "",
        "first_byte": None,
        "attempts": [],
    }
    line = text_line(exchange(**nothing, status=404, failure="no-route"))
    assert " 404 12.3ms ttfb=- model=- route=- server=- endpoint=- sent=- in=" in line
    assert line.endswith(" tries=0 failure=no-route\n")


@pytest.mark.parametrize("lines", [TextLines, JsonLines])
def test_a_query_string_never_reaches_the_log(exchange: Make, lines: type[TextLines | JsonLines]) -> None:
    line = lines(noon).line(exchange(target="/v1/models?api_key=sk-secret?more"))
    assert b"secret" not in line
    assert b"/v1/models" in line


@given(client=ANYTHING, method=ANYTHING, target=ANYTHING, model=ANYTHING, identity=ANYTHING)
def test_no_client_can_forge_a_text_line(client: str, method: str, target: str, model: str, identity: str) -> None:
    done = Exchange(identity, client, method, target, 0.0, model, "r", "u", "s", "e", 200, finished=0.0123)
    line = TextLines(noon).line(done).decode("ascii")
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    names = [field.partition("=")[0] for field in line.split(" ")[6:]]
    assert names == ["ttfb", "model", "route", "server", "endpoint", "sent", "in", "out", "id", "tries", "failure"]


@given(client=ANYTHING, method=ANYTHING, target=ANYTHING, model=ANYTHING, identity=ANYTHING)
def test_no_client_can_break_a_json_line(client: str, method: str, target: str, model: str, identity: str) -> None:
    done = Exchange(identity, client, method, target, 0.0, model, "r", "u", "s", "e", 200, finished=0.0123)
    line = JsonLines(noon).line(done)
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["status"] == 200


def test_what_only_some_requests_have_is_told_of_those(exchange: Make) -> None:
    chain = (FailedLink("a b", "503"), FailedLink("c", "queue_full"))
    more = exchange(caller="al ice", chain=chain, input_tokens=None, output_tokens=7, cached_tokens=2, queued=0.5)
    line = orjson.loads(JsonLines(noon).line(more))
    assert line.keys() >= ONLY_SOME
    assert (line["caller"], line["output_tokens"], line["queued"]) == ("al ice", 7, 0.5)
    assert line["chain"] == [{"server": "a b", "reason": "503"}, {"server": "c", "reason": "queue_full"}]
    text = TextLines(noon).line(more).decode()
    assert text.endswith(r" caller=al\x20ice tokens=-+7 chain=a\x20b:503,c:queue_full" + "\n")


def test_a_json_line_holds_every_fact_of_the_exchange(exchange: Make) -> None:
    attempts = [Attempt("qwen-7b", "http://one", "reset"), Attempt("qwen-7b", "http://two", "ok")]
    line = orjson.loads(JsonLines(noon).line(exchange(attempts=attempts)))
    renamed = {"started": "time", "finished": "duration", "first_byte": "time_to_first_byte", "target": "path"}
    assert set(line) == {renamed.get(field.name, field.name) for field in fields(Exchange)} - ONLY_SOME - NOT_TOLD
    assert line["time"] == "2026-11-20T13:37:38.123Z"
    assert line["duration"] == pytest.approx(0.0123)
    assert line["time_to_first_byte"] == pytest.approx(0.0045)
    assert line["attempts"] == [
        {"server": "qwen-7b", "endpoint": "http://one", "outcome": "reset"},
        {"server": "qwen-7b", "endpoint": "http://two", "outcome": "ok"},
    ]


@pytest.mark.parametrize("lines", [TextLines, JsonLines])
def test_a_line_is_bounded_whatever_a_client_sends(exchange: Make, lines: type[TextLines | JsonLines]) -> None:
    huge = "\x00" * 1_000_000
    assert len(lines(noon).line(exchange(target=huge, model=huge, request_id=huge, method=huge))) < 8192


def test_bytes_that_are_no_text_are_spelled_out(exchange: Make) -> None:
    line = orjson.loads(JsonLines(noon).line(exchange(target="/\udcff")))
    assert line["path"] == "/\\udcff"


def test_the_time_follows_the_clock() -> None:
    moments = iter([0.0, 0.9994, 1.0, 1.0009, 3600.5, 0.25])
    timestamps = Timestamps(lambda: next(moments))
    assert [timestamps.now() for _ in range(6)] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T01:00:00.500Z",
        "1970-01-01T00:00:00.250Z",
    ]


def test_many_places_do_not_make_a_memo_grow(exchange: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.telemetry.access_log.MOST_NAMES", 100)
    lines = TextLines(noon)
    for number in range(500):
        assert f" endpoint=http://e{number} " in lines.line(exchange(endpoint=f"http://e{number}")).decode()
    assert len(lines._places) <= 100


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_reach_the_file_at_a_flush(exchange: Make, tmp_path: Path, form: str) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path), form, noon)
    log.write(exchange())
    log.write(exchange())
    assert (path.read_bytes(), log.waiting) == (b"", 2)
    log.flush()
    assert (path.read_bytes().count(b"\n"), log.waiting, log.dropped) == (2, 0, 0)
    log.close()


def test_a_rotated_log_goes_on_in_a_new_file(exchange: Make, tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path), "text", noon)
    log.write(exchange(request_id="before"))
    path.rename(old)
    log.reopen()
    log.write(exchange(request_id="after"))
    log.close()
    assert b"id=before" in old.read_bytes()
    assert b"id=after" in path.read_bytes()


def test_a_log_that_cannot_be_opened_says_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(PenstockError, match=r"missing/access\.log cannot be opened: No such file"):
        AccessLog(str(tmp_path / "missing" / "access.log"))
