"""Promises of heads that are recognised by their bytes."""

import pytest

from proxy.wire.repeated_head import MAX_HEAD, RepeatedHead, learn

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nAccept: */*\r\n\r\n"


def known() -> RepeatedHead:
    head = learn(HEAD % b"2" + b"ok")
    assert head is not None
    return head


def test_the_same_head_with_another_length_and_its_whole_body_is_recognised() -> None:
    assert known().body_of(HEAD % b"11" + b"hello again") == b"hello again"
    assert known().body_of(HEAD % b"0") == b""


@pytest.mark.parametrize(
    "data",
    [
        HEAD % b"3" + b"ok",
        HEAD % b"1" + b"ok",
        HEAD % b"2" + b"okGET / HTTP/1.1\r\n\r\n",
        HEAD % b"+2" + b"ok",
        HEAD % b" 2" + b"ok",
        HEAD % b"0x2" + b"ok",
        HEAD % b"" + b"ok",
        HEAD % (b"0" * 20 + b"2") + b"ok",
        HEAD.replace(b"Host: a", b"Host: b") % b"2" + b"ok",
        HEAD.replace(b"*/*", b"*/*\r\nTransfer-Encoding: chunked") % b"2" + b"ok",
        (HEAD % b"2")[:-1],
        b"",
    ],
)
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert known().body_of(data) is None


def test_a_head_without_a_length_or_too_large_to_keep_teaches_nothing() -> None:
    assert learn(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is None
    assert learn(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD + b"\r\nContent-Length: 2\r\n\r\nok") is None
    assert learn(b"GET / HTTP/1.1\r\nHost: a\r\n") is None
