"""Promises of `penstock canary`, which asks what runs at its admin address."""

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.cli.commands import run

STATUS = {
    "name": "chat/all",
    "route": "chat",
    "rule": "all",
    "phase": "Progressing",
    "weight": 5.0,
    "step": 2,
    "steps": [1, 5, 100],
    "since": "2026-11-25T12:30:00.000+00:00",
    "reason": "1 of 200 requests failed (99.5% success, threshold 95%)",
    "stable": {"server": "old", "requests": 1800, "failures": 9},
    "canary": {"server": "new", "requests": 20, "failures": 1},
}


class Admin:
    """An admin listener that answers what the test says, and writes down what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.body = json.dumps({"canaries": [STATUS]}).encode()
        admin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                admin.asked.append(f"{self.command} {self.path}")
                self.send_response(admin.status)
                self.send_header("Content-Length", str(len(admin.body)))
                self.end_headers()
                self.wfile.write(admin.body)

            do_GET = do_POST = answer  # noqa: N815 - the framework's names

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    """A running proxy, whose settings lie in the folder that we are in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    (tmp_path / "routes").mkdir()
    started = Admin()
    (tmp_path / "penstock.yaml").write_text(f"admin: 127.0.0.1:{started.port}\nroutes: routes\n")
    yield started
    started.close()


def test_canaries_are_listed_with_their_reasons(admin: Admin) -> None:
    ran = run("canary", "list")
    assert (ran.status, admin.asked) == (0, ["GET /canaries"])
    assert ran.output.splitlines() == [
        "1 canary",
        "  NAME      PHASE        SHARE  STEP    SINCE                 CANARY               STABLE",
        "  chat/all  Progressing  5%     2 of 3  2026-11-25 12:30:00Z  new: 1 of 20 failed  old: 9 of 1,800 failed",
        "",
        "chat/all: 1 of 200 requests failed (99.5% success, threshold 95%)",
    ]


def test_where_there_is_none_that_is_said(admin: Admin) -> None:
    admin.body = b'{"canaries": []}'
    assert run("canary", "list").output == "There is no canary.\n"


def test_canaries_are_told_as_json(admin: Admin) -> None:
    assert json.loads(run("canary", "list", "--format", "json").output) == [STATUS]


@pytest.mark.parametrize("action", ["promote", "abort", "resume"])
def test_a_canary_is_commanded_by_its_name(admin: Admin, action: str) -> None:
    admin.body = json.dumps(STATUS).encode()
    ran = run("canary", action, "default/chat/all rules&more")
    assert (ran.status, admin.asked) == (0, [f"POST /canaries/{action}?name=default%2Fchat%2Fall+rules%26more"])
    assert "Progressing" in ran.output


def test_what_is_refused_is_told_in_the_proxys_words(admin: Admin) -> None:
    admin.status, admin.body = 404, b'{"error": "there is no canary \'talk\'; there is chat/all\\u001b[2J"}'
    ran = run("canary", "abort", "talk")
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors == "penstock: there is no canary 'talk'; there is chat/all\\x1b[2J\n"


def test_another_address_can_be_named(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("admin: 127.0.0.1:1\nroutes: routes\n")
    assert run("canary", "list", "--admin", f"http://127.0.0.1:{admin.port}/").status == 0
    assert admin.asked == ["GET /canaries"]


def test_an_address_where_nobody_listens_is_told(admin: Admin) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ran = run("canary", "list", "--admin", url)
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors == f"penstock: nobody answers at {url}: Connection refused; is penstock serve running there?\n"


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b'{"canaries": [{}]}'), (404, b"404: Not Found")])
def test_an_address_of_something_else_is_told(admin: Admin, status: int, body: bytes) -> None:
    admin.status, admin.body = status, body
    ran = run("canary", "list")
    assert ran.status == 1
    assert "it is no admin address of this version" in ran.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abort",), "which canary? say: penstock canary abort NAME"),
        (("list", "chat/all"), "list takes no NAME"),
        (("list", "--admin", "127.0.0.1:8401"), "the admin address is a URL such as http://127.0.0.1:8401"),
        (("list", "--admin", "file:///etc/passwd"), "the admin address is a URL such as http://127.0.0.1:8401"),
    ],
)
def test_a_command_that_is_not_clear_asks_nobody(admin: Admin, arguments: tuple[str, ...], message: str) -> None:
    ran = run("canary", *arguments)
    assert (ran.status, admin.asked) == (2, [])
    assert message in ran.errors


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        ("admin: false\nroutes: routes\n", 1, "penstock.yaml: the admin listener is turned off"),
        ("admin: 127.0.0.1:0\nroutes: routes\n", 1, "say where it is with --admin URL"),
        ("adnim: x\nroutes: routes\n", 2, "say where the admin listener is with --admin URL"),
    ],
)
def test_settings_that_do_not_tell_the_address_are_told(
    admin: Admin, tmp_path: Path, settings: str, status: int, message: str
) -> None:
    (tmp_path / "penstock.yaml").write_text(settings)
    ran = run("canary", "list")
    assert (ran.status, admin.asked) == (status, [])
    assert message in ran.errors


def test_an_admin_listener_with_a_certificate_is_trusted_by_that_certificate_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    (tmp_path / "routes").mkdir()
    authority = trustme.CA()
    known, other = (authority.issue_cert("penstock.example") for _ in range(2))
    known.private_key_and_cert_chain_pem.write_to_path(tmp_path / "known.pem")
    (tmp_path / "penstock.yaml").write_text("{}")
    for certificate, status in ((known, 0), (other, 1)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        started = Admin(context)
        try:
            tls = "{cert: known.pem, key: known.pem}"
            settings = f"admin: {{address: 127.0.0.1:{started.port}, tls: {tls}}}\nroutes: routes\n"
            (tmp_path / "penstock.yaml").write_text(settings)
            assert run("canary", "list").status == status
        finally:
            started.close()
