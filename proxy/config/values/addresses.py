"""Readers of addresses: an endpoint's URL, and the host and port that a listener is bound to."""

import re
from ipaddress import IPv6Address, ip_network
from urllib.parse import SplitResult, urlsplit

from proxy.config.codes import Code
from proxy.config.problems import Problems
from proxy.config.text.nodes import Node, ScalarNode, described, quoted
from proxy.config.values.kinds import text

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.])?")
_BOUND = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s/@]*):([0-9]{1,5})")
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()+,;=:@%-]+)*/?")
# The part that OpenAI's clients count to the base URL, and that a proxy finds in each request's path.
_VERSION = re.compile(r"/v1(?:/|\Z)")
_DEFAULT_PORTS = {"http": 80, "https": 443}

# Scheme, host (IPv6 without its brackets), port, and the path that goes before each request's own.
EndpointUrl = tuple[str, str, int, str]


def base_url(node: Node, problems: Problems) -> EndpointUrl | None:
    """A URL such as http://10.0.0.11:8000, with an optional path and nothing behind it."""
    written = text(node, problems)
    if written is None or not isinstance(node, ScalarNode):
        return None
    fault, url = _split(written)
    if url is None:
        problems.error(node.place, Code.BAD_ADDRESS, f"{quoted(node)} is no URL of an endpoint: {fault}")
    return url


def endpoint_url(node: Node, problems: Problems) -> EndpointUrl | None:
    """An endpoint's URL; one with the version that each request's path has anyway is told."""
    url = base_url(node, problems)
    if url is not None and _VERSION.search(url[3]):
        message = "its path stands before each request's own, which begins with /v1 as a rule: this asks for /v1/v1/…"
        problems.warning(node.place, Code.BAD_ADDRESS, message)
    return url


def _split(written: str) -> tuple[str, EndpointUrl | None]:
    if "://" not in written:
        return "it begins with http:// or https://", None
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        return "its host or port cannot be read", None
    if (fault := _url_fault(parts, port, written)) is not None:
        return fault, None
    return "", (parts.scheme, parts.hostname or "", port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def _url_fault(parts: SplitResult, port: int | None, written: str) -> str | None:
    if parts.scheme not in _DEFAULT_PORTS:
        return "it begins with http:// or https://"
    if "@" in parts.netloc:
        return "a user and password do not belong in it"
    if "?" in written or "#" in written:
        return "a query or a fragment does not belong in it"
    if not _is_host(parts.hostname or ""):
        return "its host is missing or is no name or address"
    if port == 0 or parts.netloc.endswith(":"):
        return "a port is from 1 to 65535"
    return None if _URL_PATH.fullmatch(parts.path) else "its path holds what must be percent-encoded, or an empty part"


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def host(node: Node, problems: Problems) -> str | None:
    """A host alone: a name, an IPv4 address, or an IPv6 address, which loses its brackets."""
    written = text(node, problems)
    if written is None or not isinstance(node, ScalarNode):
        return None
    bare = written[1:-1] if written.startswith("[") and written.endswith("]") and ":" in written else written
    if _is_host(bare):
        return bare
    advice = "; its port is given by itself" if ":" in written else ""
    problems.error(node.place, Code.BAD_ADDRESS, f"{quoted(node)} is no host name and no address{advice}")
    return None


def bound_address(node: Node, problems: Problems) -> tuple[str, int] | None:
    """Host and port to listen on: "127.0.0.1:8400", "[::1]:8400", or ":8400" for all interfaces (an empty host)."""
    found = _BOUND.fullmatch(node.text) if isinstance(node, ScalarNode) else None
    if found is None:
        expected = '"127.0.0.1:8400", "[::1]:8400" or ":8400" (all interfaces)'
        problems.error(node.place, Code.BAD_ADDRESS, f"expected an address such as {expected}, found {described(node)}")
        return None
    host, port = found[1].strip("[]"), int(found[2])
    if port > 65_535 or (host and not _is_host(host)):
        fault = "its port is above 65535" if port > 65_535 else "its host is no name or address"
        problems.error(node.place, Code.BAD_ADDRESS, f"{described(node)} is no address to listen on: {fault}")
        return None
    return host, port


def network(node: Node, problems: Problems) -> str | None:
    """A network such as 10.0.0.0/8, or a single address, in its canonical spelling."""
    try:
        return str(ip_network(node.text if isinstance(node, ScalarNode) else "", strict=False))
    except ValueError:
        found = described(node)
        problems.error(node.place, Code.BAD_ADDRESS, f"expected a network such as 10.0.0.0/8, found {found}")
        return None
