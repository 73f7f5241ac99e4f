"""The reader of the settings file, penstock.yaml: how the proxy itself runs. It is read once, at start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.settings_spec import Limits, Listener, ListenerTls, LogSettings, Settings
from proxy.config.text.document import parse_documents
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode
from proxy.config.values.addresses import bound_address, network
from proxy.config.values.auth import auth_of
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import (
    beside,
    boolean,
    choice,
    duration,
    duration_or_zero,
    existing_file,
    mismatch,
    one_or_more,
    path,
    size,
    text,
    whole,
)
from proxy.config.values.limits import read_redis
from proxy.config.values.policies import together
from proxy.errors import Problem

PLACES = ("penstock.yaml", "config/penstock.yaml")
ROUTES_FOLDER = "routes"
STATE_FOLDER = "state"
MOST_WORKERS = 1_024
LEAST_HEADER = 1024  # bytes

# `routes` stands in route files too, so it tells nothing.
TELLING_KEYS = frozenset({
    "listeners", "admin", "workers", "limits", "trusted_proxies", "drain_timeout", "drain_notice", "log", "secrets",
    "state", "auth", "redis", "fallback_header",
})  # fmt: skip
_LOOPBACKS = ("127.", "::1", "localhost")
_EVERY_IPV4, _EVERY_IPV6 = "0.0.0.0", "::"  # noqa: S104 - they are compared, not bound


@dataclass(frozen=True, slots=True)
class SettingsResult:
    """What was read: no settings if any problem is an error. `file` is empty where there is no settings file."""

    settings: Settings | None
    problems: tuple[Problem, ...]
    file: str


def locate_settings(given: str | None, variables: Mapping[str, str]) -> str | None:
    """The settings file: the given one, PENSTOCK_CONFIG, ./penstock.yaml, ./config/penstock.yaml; None without any."""
    named = given or variables.get("PENSTOCK_CONFIG")
    if named:
        return named
    return next((place for place in PLACES if Path(place).is_file()), None)


def load_settings(file: str | None, variables: Mapping[str, str] | None = None) -> SettingsResult:
    """The settings of a file; without a file the defaults, with ./routes where that folder is."""
    if file is None:
        place = PLACES[0]
        return SettingsResult(Settings(routes=_default_routes(place), state=beside(place, STATE_FOLDER)), (), "")
    try:
        content = Path(file).read_bytes().decode()
    except (OSError, ValueError) as fault:
        problems = Problems()
        said = fault.strerror.lower() if isinstance(fault, OSError) and fault.strerror else "it is not UTF-8 text"
        problems.error(Place(file), Code.UNREADABLE, f"cannot be read: {said}")
        return SettingsResult(None, problems.all(), file)
    return load_settings_text(file, content, os.environ if variables is None else variables)


def load_settings_text(file: str, content: str, variables: Mapping[str, str]) -> SettingsResult:
    """The settings in a text; paths in it are seen from the file's folder."""
    problems = Problems()
    documents = parse_documents(file, content, variables, problems).nodes
    for surplus in documents[1:]:
        problems.error(surplus.place, Code.WRONG_PLACE, "a settings file holds one document")
    nothing = Settings(routes=_default_routes(file), state=beside(file, STATE_FOLDER))
    settings = _read_settings(documents[0], problems) if documents else nothing
    return SettingsResult(None if problems.failed else settings, problems.all(), file)


def holds_settings(node: Node) -> bool:
    """The document is a settings file's: by keys that only those have, or by `routes` that are paths."""
    if not isinstance(node, MappingNode) or "servers" in node.entries or "apiVersion" in node.entries:
        return False
    if TELLING_KEYS & node.entries.keys():
        return True
    routes = node.entries.get("routes")
    if isinstance(routes, ListNode):
        return bool(routes.items) and all(isinstance(item, ScalarNode) for item in routes.items)
    return isinstance(routes, ScalarNode) and isinstance(routes.value, str)


def _default_routes(file: str) -> tuple[str, ...]:
    folder = beside(file, ROUTES_FOLDER)
    return (folder,) if Path(folder).is_dir() else ()


def _read_settings(node: Node, problems: Problems) -> Settings | None:
    fields = fields_of(node, problems, "settings: a mapping with listeners, admin, routes, workers and so on")
    if fields is None:
        return None
    default = Settings()
    with fields:
        settings = Settings(
            listeners=fields.get("listeners", one_or_more(_listener), default.listeners),
            admin=_admin(fields, default.admin),
            workers=fields.get("workers", _workers, default.workers),
            routes=_routes(fields),
            secrets=fields.get("secrets", path),
            state=fields.get("state", path) or beside(fields.place.file, STATE_FOLDER),
            auth=auth_of(fields),
            redis=fields.get("redis", read_redis),
            fallback_header=fields.get("fallback_header", boolean, default.fallback_header),
            limits=fields.get("limits", _limits, default.limits),
            trusted_proxies=fields.get("trusted_proxies", one_or_more(network), default.trusted_proxies),
            drain_timeout=fields.get("drain_timeout", duration_or_zero, default.drain_timeout),
            drain_notice=fields.get("drain_notice", duration_or_zero, default.drain_notice),
            log=fields.get("log", _log, default.log),
        )
        fields.warn_of_empty(("redis", "limits"))
        _check_listeners(fields, settings)
    return settings


def _routes(fields: Fields) -> tuple[str, ...]:
    if fields.filled("routes") is not None:
        return fields.get("routes", one_or_more(path), ())
    routes = _default_routes(fields.place.file)
    if not routes:
        message = "the key 'routes' is missing, and there is no folder routes/ beside this file"
        fields.problems.error(fields.place, Code.MISSING_KEY, message)
    return routes


def _listener(node: Node, problems: Problems) -> Listener | None:
    """An address alone, or a mapping with its TLS."""
    if not isinstance(node, MappingNode):
        address = bound_address(node, problems)
        return None if address is None else Listener(*address)
    with Fields(node, problems) as fields:
        address = fields.require("address", bound_address)
        tls = fields.get("tls", _listener_tls)
    return None if address is None else Listener(*address, tls=tls)


def _listener_tls(node: Node, problems: Problems) -> ListenerTls | None:
    fields = fields_of(node, problems, "a mapping with cert, key and client_ca")
    if fields is None:
        return None
    with fields:
        cert = fields.get("cert", existing_file)
        key = fields.get("key", existing_file)
        client_ca = fields.get("client_ca", existing_file)
        together(fields, ("cert", "key"))
        if fields.filled("cert") is None and fields.filled("key") is None:
            problems.error(fields.place, Code.MISSING_KEY, "a listener's tls needs cert and key")
    return None if cert is None or key is None else ListenerTls(cert, key, client_ca)


def _admin(fields: Fields, default: Listener | None) -> Listener | None:
    """Null and false turn the admin listener off."""
    node = fields.node_of("admin")
    if node is None:
        return default
    if isinstance(node, ScalarNode) and (node.empty or node.value is False):
        return None
    admin = _listener(node, fields.problems)
    if admin is not None and not admin.host.startswith(_LOOPBACKS):
        message = "the admin listener can be reached from other machines: it shows routes and endpoints to whoever asks"
        fields.problems.hint(node.place, Code.EXPOSED_ADMIN, message)
    return admin


def _workers(node: Node, problems: Problems) -> int | None:
    if isinstance(node, ScalarNode) and node.text == "auto":
        return 0
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        mismatch(node, problems, f"auto or a whole number from 1 to {MOST_WORKERS}")
        return None
    return whole(1, MOST_WORKERS)(node, problems)


def _limits(node: Node, problems: Problems) -> Limits | None:
    fields = fields_of(node, problems, "a mapping with max_body, max_header and so on")
    if fields is None:
        return None
    default = Limits()
    with fields:
        return Limits(
            max_body=fields.get("max_body", size, default.max_body),
            max_header=fields.get("max_header", _header_size, default.max_header),
            max_connections=fields.get("max_connections", whole(1, 10_000_000), default.max_connections),
            header_timeout=fields.get("header_timeout", duration, default.header_timeout),
            body_timeout=fields.get("body_timeout", duration, default.body_timeout),
            send_timeout=fields.get("send_timeout", duration, default.send_timeout),
            keepalive_timeout=fields.get("keepalive_timeout", duration, default.keepalive_timeout),
        )


def _header_size(node: Node, problems: Problems) -> int | None:
    found = size(node, problems)
    if found is not None and found < LEAST_HEADER:
        mismatch(node, problems, "a size of at least 1KiB: below it hardly a request would pass")
        return None
    return found


def _log(node: Node, problems: Problems) -> LogSettings | None:
    fields = fields_of(node, problems, "a mapping with level, format, access, path")
    if fields is None:
        return None
    default = LogSettings()
    with fields:
        return LogSettings(
            level=fields.get("level", choice(("debug", "info", "warning", "error")), default.level),
            format=fields.get("format", choice(("text", "json")), default.format),
            access=fields.get("access", boolean, default.access),
            path=fields.get("path", _log_path, default.path),
        )


def _log_path(node: Node, problems: Problems) -> str | None:
    return "-" if text(node, problems) == "-" else path(node, problems)


def _check_listeners(fields: Fields, settings: Settings) -> None:
    node = fields.filled("listeners")
    if not settings.listeners and isinstance(node, ListNode) and not node.items:
        mismatch(node, fields.problems, "at least one listener")
    bound = [(item.host, item.port) for item in (*settings.listeners, settings.admin) if item is not None and item.port]
    if any(_overlap(one, other) for one, other in combinations(bound, 2)):
        place = fields.place if node is None else node.place
        fields.problems.error(place, Code.DUPLICATE_NAME, "two listeners, or a listener and admin, share an address")


def _overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """They are the same, or one is a part of the other: which of them gets a connection would be chance."""
    hosts = {one[0] or _EVERY_IPV4, other[0] or _EVERY_IPV4}
    if one[1] != other[1] or len(hosts) == 1:
        return one[1] == other[1]
    return (_EVERY_IPV4 in hosts and not any(":" in host for host in hosts)) or (
        _EVERY_IPV6 in hosts and all(":" in host for host in hosts)
    )
