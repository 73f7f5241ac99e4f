"""Who a verified client certificate names."""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.access.identity import CERTIFICATE, Identity

LONGEST_ID = 256
"""Characters of an id, which stands in logs, metrics and conditions."""


def certificate_identity(certificate: Mapping[str, Any]) -> Identity | None:
    """Who is named by what `ssl.SSLSocket.getpeercert()` tells: its first URI, else its first DNS name, else its CN.

    None where it names nobody. Only a certificate that the listener has verified may come here.
    """
    names = [(kind, value) for kind, value in certificate.get("subjectAltName", ()) if kind in {"URI", "DNS"}]
    common = _common_names(certificate)
    uris = [value for kind, value in names if kind == "URI"]
    hosts = [value for kind, value in names if kind == "DNS"]
    # Of several common names the last is the most specific one, as OpenSSL has it.
    found = next((name for name in (*uris, *hosts, *reversed(common)) if _is_name(name)), None)
    if found is None:
        return None
    data = {
        "subject": common[-1] if common else "",
        "sans": [value for _, value in names],
        "serial": certificate.get("serialNumber", ""),
        "id": found,
    }
    return Identity(found, "certificate", CERTIFICATE, data, expires=_end(certificate))


def _common_names(certificate: Mapping[str, Any]) -> list[str]:
    return [value for part in _attributes(certificate) for key, value in part if key == "commonName"]


def _attributes(certificate: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], ...]]:
    yield from certificate.get("subject", ())


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_ID and name.isprintable()


def _end(certificate: Mapping[str, Any]) -> float:
    """Seconds since 1970; a connection may outlive its certificate."""
    written = certificate.get("notAfter")
    return float("inf") if written is None else float(ssl.cert_time_to_seconds(written))
