"""Promises of the look into a multipart form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.multipart import MAX_VALUE, field_span

TYPE = b"multipart/form-data; boundary=xyz"


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--xyz\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xyz--\r\n"


def found(body: bytes | bytearray, content_type: bytes = TYPE) -> bytes | None:
    span = field_span(body, content_type, b"model")
    return None if span is None else bytes(body[span[0] : span[1]])


@given(st.binary(max_size=50), st.binary(max_size=30), st.booleans(), st.booleans())
def test_a_field_is_found_beside_files_of_any_content(
    content: bytes, model: bytes, first: bool, in_place: bool
) -> None:
    if b"--xyz" in content + b"\r\n" + model or b"--xyz" in model:
        return
    file = part(b"file", content, b'; filename="model"\r\nContent-Type: audio/wav')
    parts = [part(b"model", model), file] if first else [file, part(b"model", model)]
    body = form(*parts)
    assert found(bytearray(body) if in_place else body) == model


@pytest.mark.parametrize(
    "content_type",
    [TYPE, b'multipart/form-data; boundary="xyz"', b"Multipart/Form-Data; charset=utf-8; Boundary=xyz; a=b"],
)
def test_a_boundary_is_read_in_each_of_its_spellings(content_type: bytes) -> None:
    assert found(form(part(b"model", b"whisper")), content_type) == b"whisper"


def test_an_empty_value_is_a_value() -> None:
    assert found(form(part(b"model", b""))) == b""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(part(b"model", b"whisper")), b"multipart/form-data"),
        (form(part(b"model", b"whisper")), b"multipart/form-data; boundary=other"),
        (form(part(b"other", b"whisper")), TYPE),
        (form(part(b"model", b"whisper", b'; filename="a"')), TYPE),
        (form(part(b"file", b"", b'; filename="name=\\"model\\""')), TYPE),
        (form(part(b"model", b"x" * (MAX_VALUE + 1))), TYPE),
        (form(*[part(b"x", b"y")] * 100, part(b"model", b"whisper")), TYPE),
        (part(b"model", b"whisper"), TYPE),
        (b"--xyz", TYPE),
        (b"--xyz\r\n\r\n", TYPE),
        (b"--xyz\r\nContent-Disposition: form-data; name=model", TYPE),
        (b"", TYPE),
        (b"{}", TYPE),
        (form(part(b"model", b"cheap"), part(b"model", b"costly")), TYPE),
        (form(part(b"model", b"cheap"), part(b"file", b"x", b'; filename="a"'), part(b"model", b"cheap")), TYPE),
        (form(part(b"model", b"cheap")), b"multipart/form-data; xboundary=xyz; boundary=abc"),
        (form(part(b"model", b"cheap")), b"multipart/form-data; boundary=xyz; boundary=abc"),
    ],
)
def test_what_is_no_plain_field_of_that_name_is_none(body: bytes, content_type: bytes) -> None:
    assert found(body, content_type) is None


@given(st.binary(), st.binary())
def test_no_bytes_are_too_strange(body: bytes, content_type: bytes) -> None:
    field_span(body, TYPE + content_type, b"model")
    field_span(b"--xyz" + body, TYPE, b"model")
