"""Promises of what is shown to engines."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import Credential
from proxy.errors import ConfigError
from proxy.upstream.credentials import LONGEST, credential_field, credential_path


def refusal(credential: Credential, secrets: str | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        credential_field(credential, secrets)
    return raised.value


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("Bearer", ("Authorization", "Bearer sk-1")),
        ("APIKey", ("x-api-key", "sk-1")),
        ("x-api-key", ("x-api-key", "sk-1")),
    ],
)
def test_a_key_is_shown_in_the_field_of_its_scheme(scheme: str, expected: tuple[str, str]) -> None:
    assert credential_field(Credential(value="sk-1", scheme=scheme), None) == expected


@pytest.mark.parametrize("text", ["sk-1", "sk-1\n", "  sk-1 \r\n\n"])
def test_a_key_in_a_file_is_its_text_without_what_an_editor_puts_around_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(text.encode())
    assert credential_field(Credential(file=str(file)), None) == ("Authorization", "Bearer sk-1")


def test_a_secret_is_a_file_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "default" / "engine"
    folder.mkdir(parents=True)
    (folder / "api-key").write_text("sk-1")
    credential = Credential(secret="default/engine", key="api-key")
    assert credential_path(credential, str(tmp_path)) == str(folder / "api-key")
    assert credential_field(credential, str(tmp_path)) == ("Authorization", "Bearer sk-1")


@pytest.mark.parametrize(
    ("credential", "secrets", "path"),
    [
        (Credential(value="sk-1"), "/secrets", None),
        (Credential(file="/keys/one"), None, "/keys/one"),
        (Credential(file="/keys/one"), "/secrets", "/keys/one"),
        (Credential(secret="default/engine", key="key"), None, None),
        (Credential(secret="default/engine", key="key"), "/secrets", "/secrets/default/engine/key"),
    ],
)
def test_whoever_watches_files_is_told_which_one_holds_it(
    credential: Credential, secrets: str | None, path: str | None
) -> None:
    assert credential_path(credential, secrets) == path


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"one\ntwo", b"one\r\nX-Other: two", b"one\0two", b"\xff", "schl\u00fcssel".encode(), b"\x7f",
     b"a" * (LONGEST + 1)],
)  # fmt: skip
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(data)
    message = str(refusal(Credential(file=str(file))))
    assert str(file) in message
    assert "holds no API key" in message
    for part in ("one", "two", "schl", "aaa"):
        assert part not in message.replace(str(file), "").replace("one line", "")


def test_a_file_that_is_not_there_or_is_a_folder_is_told(tmp_path: Path) -> None:
    assert "cannot be read: no such file" in str(refusal(Credential(file=str(tmp_path / "none"))))
    assert "cannot be read: is a directory" in str(refusal(Credential(file=str(tmp_path))))


def test_a_secret_needs_a_folder_of_secrets() -> None:
    message = str(refusal(Credential(secret="default/engine", key="key")))
    assert "default/engine" in message
    assert "no secrets folder" in message


@given(data=st.binary(max_size=200))
def test_no_file_makes_a_field_that_is_more_than_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "credential"
    file.write_bytes(data)
    try:
        _, value = credential_field(Credential(file=str(file), scheme="x-api-key"), None)
    except ConfigError:
        return
    assert value.isascii()
    assert value.isprintable()
    assert value == value.strip()
