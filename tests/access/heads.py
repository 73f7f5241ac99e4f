"""Heads of requests, by their fields or by the bytes that a client sends."""

import httptools

from proxy.config.settings_spec import Limits
from proxy.downstream.assembly import RequestAssembly
from proxy.wire.request_gate import RequestFields, RequestHead, check_fields

NOW = 1_700_000_000.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def said(*fields: tuple[bytes, bytes]) -> RequestFields:
    """The checked fields of a request."""
    return check_fields("1.1", [(b"Host", b"penstock"), *fields])


def bearer(credential: str | bytes) -> RequestFields:
    """The fields of a request that shows a credential as Bearer."""
    value = credential.encode() if isinstance(credential, str) else credential
    return said((b"Authorization", b"Bearer " + value))


def received(raw: bytes) -> RequestHead | None:
    """What the server makes of a whole request: its head, or None where it refuses it before anybody asks who calls."""
    assembly = RequestAssembly(Limits())
    parser = assembly.new_parser()
    assembly.begin_feed(raw)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserError as error:
        assembly.failed(error)
    assembly.end_feed()
    return assembly.requests[0].head if assembly.requests and assembly.fault is None else None
