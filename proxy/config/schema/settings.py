"""The keys of the settings file, as JSON Schema has them."""

from proxy.config.schema.access import redis
from proxy.config.schema.values import (
    Form,
    Key,
    Schema,
    any_of,
    boolean,
    duration,
    duration_or_zero,
    fitting,
    name,
    one_or_more,
    ref,
    size,
    text,
    together,
    whole,
    words,
)
from proxy.config.settings import LEAST_HEADER, MOST_WORKERS, ROUTES_FOLDER
from proxy.config.settings_spec import Limits, Listener, LogSettings, Settings
from proxy.config.values.units import format_duration, format_size

_ADDRESS = r"^(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s/@]*):[0-9]{1,5}$"
_LEVELS = ("debug", "info", "warning", "error")
_LONGEST_PATH = 4096


def settings_forms() -> list[Form]:
    """The settings file, and each mapping in it."""
    return [_settings(), _listener(), _listener_tls(), _limits(), _log()]


def _settings() -> Form:
    default = Settings()
    return Form("settings", "How the proxy itself runs. It is read once, at start.", (
        Key("listeners", one_or_more(_listening(), 1), "Where clients come in.", [_address(default.listeners[0])]),
        Key("admin", any_of(_listening(), {"const": False}), "Metrics and status; false turns it off.",
            _address(default.admin)),
        Key("workers", any_of({"const": "auto"}, whole(1, MOST_WORKERS)),
            "Processes on the same port; auto is one for each processor.", default.workers),
        Key("routes", one_or_more(_path()), "Route files: files, folders or globs.", f"{ROUTES_FOLDER}/"),
        Key("secrets", _path(), "A folder of secrets."),
        Key("state", _path(), "The folder for what must outlive a restart; state beside this file if not given."),
        Key("auth", ref("auth"), "What callers of any route have to show.", filled=True),
        Key("redis", redis(), "Where limits are kept that several hosts share."),
        Key("fallback_header", boolean(), "Whether answers tell why earlier targets failed.", default.fallback_header),
        Key("limits", ref("limits"), "What one client may take."),
        Key("trusted_proxies", one_or_more(text()), "Networks of peers whose X-Forwarded-* are believed.", []),
        Key("drain_timeout", duration_or_zero(), "How long requests may go on once the proxy is told to stop.",
            format_duration(default.drain_timeout)),
        Key("drain_notice", duration_or_zero(), "The first part of it, in which new requests are still taken.",
            format_duration(default.drain_notice)),
        Key("log", ref("log"), "Both logs."),
    ))  # fmt: skip


def _path() -> Schema:
    return name(_LONGEST_PATH)


def _listening() -> Schema:
    return any_of(fitting(_ADDRESS), ref("listener"))


def _address(listener: Listener | None) -> str | None:
    return None if listener is None else f"{listener.host}:{listener.port}"


def _listener() -> Form:
    return Form("listener", "A bound address with its TLS.", (
        Key("address", fitting(_ADDRESS), 'Host and port; ":8400" listens on all interfaces.', required=True),
        Key("tls", ref("listener_tls"), "HTTPS instead of HTTP."),
    ))  # fmt: skip


def _listener_tls() -> Form:
    return Form("listener_tls", "A listener's certificate.", (
        Key("cert", _path(), "The certificate chain, PEM.", required=True),
        Key("key", _path(), "Its private key, PEM, without a passphrase.", required=True),
        Key("client_ca", _path(), "Clients must show a certificate from this authority."),
    ), (together("cert", "key"),))  # fmt: skip


def _limits() -> Form:
    default = Limits()
    return Form("limits", "What one client may take.", (
        Key("max_body", size(), "Of a request's body.", format_size(default.max_body)),
        Key("max_header", size(LEAST_HEADER), "Of a request's line and header fields; 1 KiB at least.",
            format_size(default.max_header)),
        Key("max_connections", whole(1, 10_000_000), "Open client connections of one worker.",
            default.max_connections),
        Key("header_timeout", duration(), "Until a request's header is complete.",
            format_duration(default.header_timeout)),
        Key("body_timeout", duration(), "Until its body is; each KiB received adds a second.",
            format_duration(default.body_timeout)),
        Key("send_timeout", duration(), "For which a client may read nothing while bytes wait for it.",
            format_duration(default.send_timeout)),
        Key("keepalive_timeout", duration(), "For which a connection may rest between requests.",
            format_duration(default.keepalive_timeout)),
    ))  # fmt: skip


def _log() -> Form:
    default = LogSettings()
    return Form("log", "Both logs.", (
        Key("level", words(_LEVELS), "For the event log, on standard error.", default.level),
        Key("format", words(("text", "json")), "For both logs.", default.format),
        Key("access", boolean(), "Whether there is an access log.", default.access),
        Key("path", _path(), "The access log's file; - is standard output.", default.path),
    ))  # fmt: skip
