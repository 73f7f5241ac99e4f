"""Promises of the commands' way to what runs; more of them are shown with the commands that take it."""

from pathlib import Path

import pytest

from proxy.cli.admin_client import find_admin, url_of
from proxy.config.settings_spec import Listener


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8401"),
        ("::", "http://[::1]:8401"),
        ("10.0.0.7", "http://10.0.0.7:8401"),
        ("localhost", "http://localhost:8401"),
    ],
)
def test_a_listener_on_all_addresses_is_asked_on_this_machine(host: str, url: str) -> None:
    assert url_of(Listener(host, 8401)) == url


def test_without_any_settings_the_default_address_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_admin(None).url == "http://127.0.0.1:8401"
