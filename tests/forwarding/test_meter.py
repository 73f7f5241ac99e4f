"""Promises of a meter: it counts what passes, and keeps back nothing but the chunk that was not asked for."""

import itertools
import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.meter import LONGEST, AnswerMeter, StreamMeter, meter_for
from proxy.forwarding.usage import Usage

CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":" the"},"finish_reason":null}]}\n\n'
ROLE = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
STOP = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
CHAT = ROLE + CHUNK * 3 + STOP + USAGE + DONE


def ticks() -> Iterator[float]:
    return (float(second) for second in itertools.count(100))


def metered(*reads: bytes, hide: bool = False) -> tuple[bytes, Usage]:
    meter = StreamMeter(ticks().__next__, hide=hide)
    gone = b"".join([*(meter.feed(read) for read in reads), meter.rest()])
    return gone, meter.usage()


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in itertools.pairwise([0, *sorted(cuts), len(data)])]


def test_a_stream_tells_its_usage() -> None:
    assert metered(CHAT) == (CHAT, Usage(12, 3, None, told=True))


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("hide", [False, True])
def test_the_chunk_that_was_not_asked_for_is_kept_back_wherever_reads_cut_it(end: bytes, hide: bool) -> None:
    stream, withheld = CHAT.replace(b"\n\n", end), USAGE.replace(b"\n\n", end)
    expected = (stream.replace(withheld, b"") if hide else stream), Usage(12, 3, None, told=True)
    for cut in range(len(stream)):
        assert metered(stream[:cut], stream[cut:], hide=hide) == expected
    assert metered(*(stream[i : i + 1] for i in range(len(stream))), hide=hide) == expected


def line_by_line(payload: dict[str, object]) -> bytes:
    return b"".join(b"data: " + line.encode() + b"\n" for line in json.dumps(payload, indent=1).splitlines()) + b"\n"


OTHERS = [
    ROLE,
    CHUNK,
    STOP,
    DONE,
    b": keep-alive\n\n",
    b"event: ping\ndata: {}\n\n",
    b"id: 5\n\n",
    b'data:{"choices":[{"delta":{"content":"x"}}],"usage":null}\n\n',
    b'data: {"choices":[{"delta":{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":12,"completion_tokens":1}}\r\n\r\n',
    b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
    b'data: {"choices":[{"text":"","finish_reason":"stop"}]}\r\n\r\n',
    b'data: {"error":{"message":"x","code":500}}\n\n',
    b"\n",
    line_by_line({"choices": [{"delta": {"content": "x"}}]}),
    line_by_line({"choices": [{}], "usage": {"prompt_tokens": 1}}),
]
WITHHELD = [
    USAGE,
    USAGE.replace(b"data: ", b"data:").replace(b"\n", b"\r\n"),
    b": a comment\nevent: x\n" + USAGE,
    line_by_line({"usage": {"prompt_tokens": 1}, "choices": []}),
    b'data: {"choices" : [ ],\r\ndata: "usage"\ndata: :\ndata: {"prompt_tokens": 1}}\r\n\r\n',
]


@given(
    st.lists(st.sampled_from(OTHERS[:-3] + OTHERS[-2:] + WITHHELD), max_size=8),
    st.lists(st.integers(0, 1500), max_size=12),
    st.booleans(),
)
def test_what_goes_on_is_the_stream_without_that_chunk_however_it_is_cut(
    events: list[bytes], cuts: list[int], hide: bool
) -> None:
    stream = b"".join(events)
    expected = b"".join(event for event in events if not hide or event not in WITHHELD)
    assert metered(*chunked(stream, cuts), hide=hide)[0] == expected


@given(
    st.lists(st.sampled_from(OTHERS + WITHHELD), max_size=8), st.lists(st.integers(0, 1500), max_size=12), st.booleans()
)
def test_what_is_counted_does_not_depend_on_the_cuts(events: list[bytes], cuts: list[int], hide: bool) -> None:
    stream = b"".join(events)
    assert metered(*chunked(stream, cuts), hide=hide)[1] == metered(stream)[1]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\n", b"\r\n", b"data: ", CHUNK]), max_size=10))
def test_bytes_that_are_no_events_go_on_as_they_came(reads: list[bytes]) -> None:
    assert metered(*reads, hide=True)[0] == metered(*reads)[0] == b"".join(reads)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r"])
def test_a_stream_that_ends_without_a_blank_line_keeps_the_chunk_back_too(end: bytes) -> None:
    cut = USAGE[:-2] + end
    assert metered(CHUNK, cut, hide=True) == (CHUNK, Usage(12, 3, None, told=True))
    assert metered(CHUNK, cut) == (CHUNK + cut, Usage(12, 3, None, told=True))


def test_nothing_waits_that_is_not_part_of_an_unfinished_event() -> None:
    meter = StreamMeter(ticks().__next__, hide=True)
    assert meter.feed(CHUNK) == CHUNK
    assert meter.feed(CHUNK + CHUNK[:20]) == CHUNK
    assert meter.feed(CHUNK[20:] + CHUNK) == CHUNK + CHUNK
    assert meter.feed(DONE[:-1]) == b""
    assert meter.rest() == DONE[:-1]
    assert meter.rest() == b""


def test_nothing_waits_where_nothing_is_hidden() -> None:
    meter = StreamMeter(ticks().__next__)
    for cut in range(len(USAGE)):
        assert meter.feed(USAGE[:cut]) + meter.feed(USAGE[cut:]) == USAGE


def test_an_event_that_is_too_long_goes_on_and_is_read_all_the_same() -> None:
    long = b'data: {"x":"' + b"y" * LONGEST + b'","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\n'
    for size in (1000, 30_000, LONGEST + 1):
        reads = [long[start : start + size] for start in range(0, len(long), size)]
        meter = StreamMeter(ticks().__next__, hide=True)
        gone = [meter.feed(read) for read in reads]
        assert b"".join(gone) == long
        assert meter.feed(CHUNK + USAGE) == CHUNK
        meter = StreamMeter(ticks().__next__)
        assert b"".join(meter.feed(read) for read in reads) == long
        assert meter.usage() == Usage(4, 2, None, told=True)


ABANDONED = [
    (ROLE + CHUNK * 5, 5),
    (ROLE.replace(b"\n", b"\r\n") + CHUNK.replace(b"\n", b"\r\n") * 5, 5),
    (
        b'data: {"choices":[{"index":0,"text":" a","logprobs":null}]}\n\n' * 4 + b'data: {"choices":[{"text":""}]}\n\n',
        4,
    ),
    (b'data: {"choices": [{"delta": {"reasoning_content": "so"}}]}\n\n' * 3, 3),
    (b'data: {"choices":[{"delta":{"reasoning":"so"}}]}\n\n' * 3, 3),
    (b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}\n\n' * 2, 2),
    (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', 0),
    (b'event: content_block_delta\ndata: {"delta":{"type":"text_delta","text":"Hi"}}\n\n' * 6, 6),
    (b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n', 0),
    (b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n' * 2, 2),
    (b'data: {"type":"response.output_text.done","text":"Hi"}\n\n', 0),
    (b": keep-alive\n\n" * 3, 0),
]


@pytest.mark.parametrize(("stream", "output"), ABANDONED)
def test_an_abandoned_stream_has_used_as_many_tokens_as_events_with_content(stream: bytes, output: int) -> None:
    untold = Usage(None, output, None, told=False)
    assert metered(stream) == (stream, untold)
    for cut in range(len(stream)):
        assert metered(stream[:cut], stream[cut:], hide=True) == (stream, untold)


def test_a_figure_told_on_the_way_holds_until_more_content_comes() -> None:
    running = CHUNK.replace(b"}\n\n", b',"usage":{"prompt_tokens":12,"completion_tokens":7}}\n\n')
    assert metered(CHUNK, running)[1] == Usage(12, 7, None, told=True)
    assert metered(CHUNK, running, CHUNK)[1] == Usage(12, 7, None, told=False)
    assert metered(running, *[CHUNK] * 9)[1] == Usage(12, 10, None, told=False)


def test_the_input_told_at_a_messages_start_joins_the_output_told_at_its_end() -> None:
    start = b'event: message_start\ndata: {"message":{"usage":{"input_tokens":2,"cache_read_input_tokens":10}}}\n\n'
    delta = b'event: content_block_delta\ndata: {"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    end = b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}\n\n'
    assert metered(start, delta)[1] == Usage(12, 1, 10, told=False)
    assert metered(start, delta, end, hide=True) == (start + delta + end, Usage(12, 4, 10, told=True))


def test_an_event_that_does_not_end_waits_no_longer_than_the_bound() -> None:
    for hide in (False, True):
        meter = StreamMeter(ticks().__next__, hide=hide)
        begin = CHUNK + b"data: " + b"x" * LONGEST
        assert meter.feed(begin) == begin
        assert meter.feed(b"") == b""
        for _ in range(5):
            assert meter.feed(b"y" * LONGEST) == b"y" * LONGEST
            assert len(meter._tail) == LONGEST
        assert meter.feed(b"z") == b"z"
        assert meter.rest() == b""


class Stream(NamedTuple):
    """A stream of an engine: its events, the one of them that is kept back, and what they tell."""

    begin: list[bytes]
    withheld: bytes
    end: bytes
    usage: Usage


def sse(text: str) -> bytes:
    return b"data: " + text.encode() + b"\n\n"


def named(text: str) -> bytes:
    return b"event: " + json.loads(text)["type"].encode() + b"\n" + sse(text)


# What vLLM 0.32 sends, without some members and repetitions.
VLLM = {
    "chat": Stream(
        [
            sse(
                r'{"id":"chatcmpl-b4","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null}]}'
            ),
            sse(r'{"id":"chatcmpl-b4","choices":[{"index":0,"delta":{"content":"\n"},"finish_reason":null}]}'),
            sse(r'{"id":"chatcmpl-b4","choices":[{"index":0,"delta":{"content":"\n"},"finish_reason":"length"}]}'),
        ],
        sse(
            r'{"id":"chatcmpl-b4","choices":[],"usage":{"prompt_tokens":43,"total_tokens":45,"completion_tokens":2,'
            r'"prompt_tokens_details":{"cached_tokens":16,"created_cache_tokens":0}},"system_fingerprint":"vllm-0.32.0"}'
        ),
        DONE,
        Usage(43, 2, 16, told=True),
    ),
    "chat with running figures": Stream(
        [
            sse(
                r'{"id":"chatcmpl-ac","choices":[{"index":0,"delta":{"content":"\n"},"finish_reason":"length"}],'
                r'"usage":{"prompt_tokens":43,"total_tokens":44,"completion_tokens":1,"completion_tokens_details":null}}'
            )
        ],
        sse(
            r'{"id":"chatcmpl-ac","choices":[],"usage":{"prompt_tokens":43,"total_tokens":44,"completion_tokens":1,'
            r'"prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":"vllm-0.32.0"}'
        ),
        DONE,
        Usage(43, 1, 0, told=True),
    ),
    "completion": Stream(
        [sse(r'{"id":"cmpl-b6","choices":[{"index":0,"text":" time","logprobs":null,"finish_reason":"length"}]}')],
        sse(
            r'{"id":"cmpl-b6","choices":[],"usage":{"prompt_tokens":7,"total_tokens":8,"completion_tokens":1,'
            r'"prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":"vllm-0.32.0"}'
        ),
        DONE,
        Usage(7, 1, 0, told=True),
    ),
    "message": Stream(
        [
            named(
                r'{"type":"message_start","message":{"id":"chatcmpl-97","type":"message","role":"assistant","content":[],'
                r'"usage":{"input_tokens":43,"output_tokens":0}}}'
            ),
            named(r'{"type":"content_block_start","content_block":{"type":"text","text":""},"index":0}'),
            named(r'{"type":"content_block_delta","delta":{"type":"text_delta","text":"\n"},"index":0}'),
            named(r'{"type":"content_block_stop","index":0}'),
            named(
                r'{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"input_tokens":'
                r'27,"output_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":16}}'
            ),
        ],
        b"",
        named('{"type":"message_stop"}'),
        Usage(43, 6, 16, told=True),
    ),
    "response": Stream(
        [
            named('{"response":{"id":"resp_99","output":[],"usage":null,"user":null},"type":"response.created"}'),
            named(r'{"content_index":0,"delta":"ten","output_index":0,"type":"response.output_text.delta"}'),
            named(r'{"content_index":0,"output_index":0,"text":"ten","type":"response.output_text.done"}'),
            named(
                r'{"response":{"id":"resp_99","output":[{"content":[{"annotations":[],"text":"ten"}]}],"text":null,"usage":{'
                r'"input_tokens":20,"input_tokens_details":{"cached_tokens":4,"cached_tokens_per_turn":[]},"output_tokens":6,'
                r'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":26},"user":null},"sequence_number":12,'
                r'"type":"response.completed"}'
            ),
        ],
        b"",
        b"",
        Usage(20, 6, 4, told=True),
    ),
}


@pytest.mark.parametrize("kind", VLLM)
def test_streams_of_a_real_engine_are_read_and_only_the_last_chunk_is_kept_back(kind: str) -> None:
    events, withheld, end, usage = VLLM[kind]
    begin = b"".join(events)
    stream = begin + withheld + end
    assert metered(stream) == (stream, usage)
    for cut in range(len(stream)):
        assert metered(stream[:cut], stream[cut:], hide=True) == (begin + end, usage)


@pytest.mark.parametrize(
    ("kind", "events", "output"), [("chat", 3, 2), ("completion", 1, 1), ("message", 4, 1), ("response", 3, 1)]
)
def test_streams_of_a_real_engine_count_their_events_before_anything_is_told(
    kind: str, events: int, output: int
) -> None:
    usage = metered(*VLLM[kind].begin[:events])[1]
    assert (usage.output, usage.told) == (output, False)


def test_the_first_and_the_last_bytes_are_timed() -> None:
    for meter in (StreamMeter(ticks().__next__), AnswerMeter(ticks().__next__)):
        assert (meter.first_body, meter.last_body) == (None, None)
        for read in (CHUNK, CHUNK, DONE):
            meter.feed(read)
        assert (meter.first_body, meter.last_body) == (100.0, 102.0)


ANSWER = (
    b'{"id":"c","choices":[{"message":{"content":"\\"usage\\":{}"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
)


@given(st.lists(st.integers(0, len(ANSWER)), max_size=8), st.integers(0, 3))
def test_a_whole_answer_tells_its_usage_however_it_is_cut(cuts: list[int], padding: int) -> None:
    answer = ANSWER.replace(b"[", b"[" + b" " * (padding * LONGEST // 2), 1)
    meter = AnswerMeter(ticks().__next__)
    assert b"".join(meter.feed(read) for read in chunked(answer, cuts)) + meter.rest() == answer
    assert meter.usage() == Usage(3, 2, None, told=True)


def test_of_a_long_answer_only_the_end_is_kept() -> None:
    meter = AnswerMeter(ticks().__next__)
    for _ in range(10):
        meter.feed(b"x" * LONGEST)
    assert len(meter._kept) == LONGEST


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"usage":null}', b"no JSON", b'{"input_tokens":5}'])
def test_an_answer_that_tells_nothing_has_generated_nothing(answer: bytes) -> None:
    meter = AnswerMeter(ticks().__next__)
    meter.feed(answer)
    assert meter.usage() == Usage(None, 0, None, told=False)


@pytest.mark.parametrize(
    ("content_type", "coded", "kind"),
    [
        (b"text/event-stream; charset=utf-8", False, StreamMeter),
        (b"Text/Event-Stream", False, StreamMeter),
        (b"application/json", False, AnswerMeter),
        (b"Application/JSON; charset=utf-8", False, AnswerMeter),
        (b"text/event-stream", True, None),
        (b"application/json", True, None),
        (b"application/jsonl", False, None),
        (b"audio/mpeg", False, None),
        (b"", False, None),
    ],
)
def test_what_is_no_json_or_is_compressed_has_no_meter(content_type: bytes, coded: bool, kind: type | None) -> None:
    meter = meter_for(content_type, coded, ticks().__next__, hide=True)
    assert meter is None if kind is None else type(meter) is kind
