"""An answer tells the client's own name for the model, wherever reads were cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.restore import ModelRestorer, can_restore


def restored(*reads: bytes, sent: str = "org/m-v2", told: str = "m") -> bytes:
    restorer = ModelRestorer(sent, told)
    return b"".join([*(restorer.feed(read) for read in reads), restorer.rest()])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"org/m-v2"}', b'{"model":"m"}'),
        (b'{"model": "org/m-v2", "x": 1}', b'{"model": "m", "x": 1}'),
        (b'{"model" :\n"org\\/m-v2"}', b'{"model" :\n"m"}'),
        (b'{"response":{"model":"org/m-v2"},"model":"org/m-v2"}', b'{"response":{"model":"m"},"model":"m"}'),
        (b'{"model":"other"}', b'{"model":"other"}'),
        (b'{"model":"org/m-v2x"}', b'{"model":"org/m-v2x"}'),
        (b'{"model":null}', b'{"model":null}'),
        (b'{"a":"\\"model\\":\\"org/m-v2\\""}', b'{"a":"\\"model\\":\\"org/m-v2\\""}'),
        (b'{"k\\"model":"org/m-v2"}', b'{"k\\"model":"org/m-v2"}'),
        (b'data: {"model":"org/m-v2"}\n\ndata: [DONE]\n\n', b'data: {"model":"m"}\n\ndata: [DONE]\n\n'),
        (b'{"model', b'{"model'),
        (b'{"model":"org/m-v', b'{"model":"org/m-v'),
        (b"", b""),
    ],
)
def test_each_member_with_the_name_that_was_sent_tells_the_clients(body: bytes, expected: bytes) -> None:
    assert restored(body) == expected
    for cut in range(len(body)):
        assert restored(body[:cut], body[cut:]) == expected
    assert restored(*(body[i : i + 1] for i in range(len(body)))) == expected


NAMES = st.text(min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.just("model"), inner, max_size=3),
    max_leaves=8,
)


def renamed(value: object, sent: str, told: str) -> object:
    if isinstance(value, list):
        return [renamed(item, sent, told) for item in value]
    if isinstance(value, dict):
        return {
            key: told if key == "model" and item == sent else renamed(item, sent, told) for key, item in value.items()
        }
    return value


@given(VALUES, NAMES, NAMES, st.booleans(), st.lists(st.integers(0, 400), max_size=8))
def test_any_json_tells_the_clients_name_and_nothing_else_changes_wherever_it_is_cut(
    value: object, sent: str, told: str, ascii_only: bool, cuts: list[int]
) -> None:
    document = {"model": sent, "choices": [value], "response": {"model": sent}}
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    edges = [0, *sorted(cuts), len(body)]
    reads = [body[start:end] for start, end in itertools.pairwise(edges)]
    found = json.loads(restored(*reads, sent=sent, told=told).decode("utf-8", "surrogatepass"))
    assert found == renamed(document, sent, told)


def test_a_read_that_ends_a_member_waits_for_nothing() -> None:
    restorer = ModelRestorer("a", "b")
    event = b'data: {"id":"x","model":"a"}\n\n'
    assert restorer.feed(event) == b'data: {"id":"x","model":"b"}\n\n'
    assert restorer.rest() == b""


def test_a_long_text_that_may_be_a_name_is_not_held_for_ever() -> None:
    restorer = ModelRestorer("a", "b")
    held = restorer.feed(b'{"model":"' + b"x" * 10_000)
    assert len(held) > 9_000


@pytest.mark.parametrize(
    ("content_type", "coded", "can"),
    [
        (b"application/json", False, True),
        (b"text/event-stream; charset=utf-8", False, True),
        (b"Application/JSON; charset=utf-8", False, True),
        (b"application/json", True, False),
        (b"audio/mpeg", False, False),
        (b"", False, False),
    ],
)
def test_what_is_no_json_or_is_compressed_is_left_alone(content_type: bytes, coded: bool, can: bool) -> None:
    assert can_restore(content_type, coded) is can
