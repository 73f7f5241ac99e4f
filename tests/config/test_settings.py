"""The settings file is read into `Settings`, or into problems; nothing in it is guessed."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.access_spec import Auth, Fail, Redis
from proxy.config.loader import load
from proxy.config.settings import SettingsResult, load_settings, load_settings_text, locate_settings
from proxy.config.settings_spec import Limits, Listener, ListenerTls, LogSettings, Settings
from proxy.errors import Severity

SAMPLES = Path(__file__).parents[2] / "config"


def read(text: str, file: str = "/etc/penstock.yaml") -> SettingsResult:
    return load_settings_text(file, text, {})


def settings(text: str, file: str = "/etc/penstock.yaml") -> Settings:
    found = read(text + "\nroutes: r/", file)
    assert found.settings is not None, found.problems
    return found.settings


def test_settings_of_routes_alone_have_every_default() -> None:
    assert settings("") == Settings(routes=("/etc/r",), state="/etc/state")


def test_every_setting_is_read() -> None:
    found = settings(
        """
listeners: [":8400", {address: "[::1]:8401"}]
admin: 127.0.0.1:9000
workers: auto
secrets: secrets
state: state
auth: {client_certificate: true}
redis: {url: redis://h, fail: open}
fallback_header: false
limits: {max_body: 1MiB, max_header: 8KiB, max_connections: 5, header_timeout: 1s, body_timeout: 2s,
         send_timeout: 3s, keepalive_timeout: 4s}
trusted_proxies: [10.1.2.3/8, "::1"]
drain_timeout: 1m
drain_notice: 0
log: {level: debug, format: json, access: false, path: logs/penstock.log}
"""
    )
    assert found == Settings(
        listeners=(Listener("", 8400), Listener("::1", 8401)),
        admin=Listener("127.0.0.1", 9000),
        workers=0,
        routes=("/etc/r",),
        secrets="/etc/secrets",
        state="/etc/state",
        auth=Auth(client_certificate=True),
        redis=Redis("redis://h", Fail.OPEN),
        fallback_header=False,
        limits=Limits(1024**2, 8 * 1024, 5, 1.0, 2.0, 3.0, 4.0),
        trusted_proxies=("10.0.0.0/8", "::1/128"),
        drain_timeout=60.0,
        drain_notice=0.0,
        log=LogSettings("debug", "json", False, "/etc/logs/penstock.log"),
    )


@pytest.mark.parametrize("off", ["null", "false", "~", ""])
def test_admin_can_be_turned_off(off: str) -> None:
    assert settings(f"admin: {off}").admin is None


def test_an_admin_listener_for_other_machines_is_a_hint() -> None:
    (problem,) = read("admin: ':8401'\nroutes: r").problems
    assert (problem.severity, problem.code) == (Severity.HINT, "PS137")


def test_a_listeners_certificate_is_found_beside_the_file(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    found = settings("listeners: {address: ':1', tls: {cert: cert.pem, key: key.pem}}", str(tmp_path / "penstock.yaml"))
    assert found.listeners[0].tls == ListenerTls(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("listeners: []", "PS110", "at least one listener"),
        ("listeners: [[::1]:8400]", "PS110", "put it in quotes"),
        ("listeners: [8400]", "PS122", "expected an address such as"),
        ("listeners: ['h:65536']", "PS122", "above 65535"),
        ("listeners: ['-:1']", "PS122", "no name or address"),
        ("listeners: [':1', ':1']", "PS130", "share an address"),
        ("listeners: ['127.0.0.1:8401']", "PS130", "share an address"),
        ("listeners: [':8401']", "PS130", "share an address"),
        ("listeners: ['0.0.0.0:1', ':1']", "PS130", "share an address"),
        ("listeners: ['[::]:1', '[::1]:1']", "PS130", "share an address"),
        ("listeners: [{tls: {}}]", "PS112", "'address' is missing"),
        ("listeners: [{address: ':1', tls: {}}]", "PS112", "needs cert and key"),
        ("workers: 0", "PS110", "from 1 to 1024"),
        ("workers: many", "PS110", "auto or a whole number"),
        ("limits: {max_body: 5 MX}", "PS110", "a size such as 64MiB"),
        ("limits: {max_body: 0}", "PS110", "above 0"),
        ("limits: {max_header: 100}", "PS110", "at least 1KiB"),
        ("limits: {maxbody: 1}", "PS111", "unknown key 'maxbody'"),
        ("trusted_proxies: [10.0.0.0/33]", "PS122", "a network such as 10.0.0.0/8"),
        ("log: {level: verbose}", "PS120", "debug, info, warning or error"),
        ("log: {access: yes}", "PS110", "true or false, found 'yes'"),
        ("drain_timeout: soon", "PS110", "a duration"),
        ("listener: ':1'", "PS111", "unknown key 'listener'"),
        ("a: 1\n---\nb: 2", "PS115", "one document"),
    ],
)
def test_a_slip_in_the_settings_is_told(text: str, code: str, words: str) -> None:
    result = read(f"routes: r/\n{text}")
    told = [problem for problem in result.problems if problem.code == code]
    assert result.settings is None
    assert told
    assert words in told[0].message


def test_both_families_may_have_the_same_port() -> None:
    assert read("routes: r/\nlisteners: [':1', '[::1]:1', '127.0.0.1:2', '[::]:2']").problems == ()


def test_a_list_of_settings_is_told() -> None:
    assert [problem.code for problem in read("- a").problems] == ["PS110"]


def test_routes_are_the_folder_beside_the_file_unless_they_are_named(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("workers: 1\n")
    assert [problem.code for problem in load_settings(str(file)).problems] == ["PS112"]
    (tmp_path / "routes").mkdir()
    found = load_settings(str(file)).settings
    assert found is not None
    assert found.routes == (str(tmp_path / "routes"),)


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = str(tmp_path / "state")
    assert load_settings(None) == SettingsResult(Settings(state=state), (), "")
    (tmp_path / "routes").mkdir()
    assert load_settings(None).settings == Settings(routes=(str(tmp_path / "routes"),), state=state)


def test_a_file_that_is_not_there_is_a_problem() -> None:
    (problem,) = load_settings("none/penstock.yaml").problems
    assert (problem.code, problem.file) == ("PS100", "none/penstock.yaml")


def test_the_settings_file_is_the_given_one_then_the_environments_then_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_settings(None, {}) is None
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "penstock.yaml").touch()
    assert locate_settings(None, {}) == "config/penstock.yaml"
    (tmp_path / "penstock.yaml").touch()
    assert locate_settings(None, {}) == "penstock.yaml"
    assert locate_settings(None, {"PENSTOCK_CONFIG": "b.yaml"}) == "b.yaml"
    assert locate_settings("a.yaml", {"PENSTOCK_CONFIG": "b.yaml"}) == "a.yaml"


def test_the_samples_have_no_problem() -> None:
    found = load_settings(str(SAMPLES / "penstock.yaml"), {})
    assert found.problems == ()
    assert found.settings is not None
    result = load(found.settings.routes, {})
    assert result.problems == ()
    assert result.config is not None
    assert {route.name for route in result.config.routes} >= {"chat"}


# fmt: off
KEYS = st.sampled_from([
    "listeners", "address", "tls", "cert", "key", "client_ca", "admin", "workers", "routes", "secrets", "limits",
    "max_body", "header_timeout", "trusted_proxies", "drain_timeout", "log", "level", "format", "access", "path",
])
# fmt: on
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([":1", "[::1]:80", "~x/y", "10.0.0.0/8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_settings_make_the_reader_raise(document: object) -> None:
    result = read(yaml.safe_dump(document, allow_unicode=True))
    assert (result.settings is None) == any(problem.severity is Severity.ERROR for problem in result.problems)


@given(st.text())
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read(text)


@pytest.mark.parametrize("key", ["redis", "limits"])
def test_a_key_without_a_value_is_told(key: str) -> None:
    (problem,) = load_settings_text("/etc/penstock.yaml", f"routes: r\n{key}:\n", {}).problems
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS136")
