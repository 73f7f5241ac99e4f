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


GOOD = part(b"model", b"small")
DISPOSITION = b'Content-Disposition: form-data; name="model"'


@pytest.mark.parametrize(
    "body",
    [
        *(
            form(GOOD, b"--xyz\r\n" + head + b"\r\n\r\nlarge\r\n")
            for head in (
                b"Content-Disposition: form-data; name=model",
                b'Content-Disposition: form-data; name="mo\\del"',
                b"Content-Disposition: form-data; name*=utf-8''model",
                b'Content-Disposition: form-data; name="x"; name="model"',
                b"Content-Disposition: form-data; name=\"x\"; name*=utf-8''model",
                b'Content-Disposition: form-data; name = "model"',
                b'Content-Disposition: form-data; name= "model"',
                b'Content-Disposition:form-data;NAME="model"',
                b'Content-Disposition: form-data; name="model"; filenamex="a"',
                b'Content-Disposition: form-data; name="model"; x="filename"',
                b'Content-Disposition: form-data; filename="\\\\"; name="model"; x=""',
                b'Content-Disposition: form-data; filename="\\"; name="model"; x=""',
                b'Content-Disposition: form-data; name="x"\r\n' + DISPOSITION,
                b'Content-Disposition: attachment; x="y"\r\n' + DISPOSITION,
                b'Content-Disposition: form-data;\r\n name="model"',
                b'Content-Disposition : form-data; name="model"',
                b"X: y\n" + DISPOSITION,
                b"X: y\r" + DISPOSITION,
                b"X-Other: y",
                b"no field",
            )
        ),
        form(b"--xyzQ\r\n" + DISPOSITION + b"\r\n\r\nsmall\r\n", part(b"x", b"y")),
        form(part(b"x", b"\r\n--xyzQ\r\n" + DISPOSITION + b"\r\n\r\nsmall")),
        form(GOOD.replace(b"--xyz", b"--xyz ")),
        b"preamble\r\n" + form(GOOD),
        b"--xyz\n" + DISPOSITION + b"\n\nsmall\r\n--xyz--\r\n",
        GOOD + b"--xyz\r\n" + DISPOSITION,
    ],
)
def test_nothing_is_found_in_a_form_that_could_be_read_in_another_way(body: bytes) -> None:
    assert found(body) is None


@pytest.mark.parametrize(
    "content_type",
    [
        b'multipart/form-data; boundary ="abc"; x=" boundary=xyz"',
        b'multipart/form-data; x="; boundary=xyz"; boundary*0=abc',
        b"multipart/form-data; boundary=xyz; boundary*=utf-8''abc",
    ],
)
def test_nor_where_another_boundary_could_be_meant(content_type: bytes) -> None:
    assert found(form(GOOD), content_type) is None


def test_what_stands_behind_the_end_is_no_part() -> None:
    assert found(form(part(b"model", b"large")) + b"\r\n" + form(GOOD)) == b"large"
    assert found(form(part(b"x", b"y")) + b"\r\n" + form(GOOD)) is None


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="model"',
        b"Content-Disposition: form-data; name=model",
        b'content-disposition:form-data;name="model"',
        b'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="model"\r\nContent-Length: 5',
    ],
)
def test_a_part_is_read_as_each_client_writes_it(head: bytes) -> None:
    file = part(b"file", b"x", b"; filename=\"C:\\a b.wav\"; filename*=utf-8''a")
    assert found(form(file, b"--xyz\r\n" + head + b"\r\n\r\nsmall\r\n")) == b"small"
