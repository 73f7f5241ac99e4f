"""What surrounds every request to a simulated engine: journal, key check, echo, and faults before the first byte."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.simulator.engine import Engine
from proxy.simulator.faults import Armed, FailedStatus, Fault, Garbage, Refuse, Reset, Stall, parse_fault
from proxy.simulator.journal import Entry
from proxy.simulator.options import EngineOptions
from proxy.simulator.refusal import RefusedError, error_body
from proxy.simulator.streaming import AnswerCutError, close_connection, for_ever, reset_connection

CONTROL = "/sim/"
PROBES = frozenset(
    {
        "/health",
        "/health_generate",
        "/ping",
        "/metrics",
        "/load",
        "/get_load",
        "/v1/loads",
        "/version",
        "/get_model_info",
        "/get_server_info",
    }
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Call:
    """A request as the handlers see it: its record, its body and the fault that it must suffer."""

    entry: Entry
    body: bytes
    fault: Fault | None


CALL = web.RequestKey("call", Call)


def observing(engine: Engine) -> Middleware:
    """The middleware of one engine."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path.startswith(CONTROL):
                return await handler(request)
            return await observed(engine, request, handler)
        except RefusedError as refusal:
            return refusal_response(refusal, engine.options)
        except AnswerCutError as cut:
            return cut.response

    return observe


async def observed(engine: Engine, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer, and write down how that went."""
    entry = entry_of(request, engine.clock())
    probe = request.path in PROBES
    if probe:
        engine.journal.counters.probes += 1
    else:
        engine.journal.open(entry)
    try:
        response = await answered(engine, request, handler, entry, probe=probe)
    except RefusedError as refusal:
        entry.status = refusal.status
        raise
    except web.HTTPException as error:
        entry.status = error.status
        raise
    except (asyncio.CancelledError, ConnectionError):
        entry.aborted = True
        raise
    else:
        entry.status = response.status
        return response
    finally:
        if not probe:
            engine.journal.close(entry, engine.clock())


async def answered(
    engine: Engine, request: web.Request, handler: Handler, entry: Entry, *, probe: bool
) -> web.StreamResponse:
    """The answer of the engine, of the echo or of a fault."""
    body = await request.read()
    entry.body = body.decode("utf-8", "replace")
    armed = chosen_fault(engine, request, probe=probe)
    entry.fault = armed.text if armed else ""
    fault = armed.fault if armed else None
    check_key(request, engine.options)
    broken = await suffer(fault, request, entry, engine)
    if broken is not None:
        entry.broken = True
        return broken
    if request.headers.get("x-sim-echo") == "1":
        return echo(engine.options, entry, request, body)
    request[CALL] = Call(entry, body, fault)
    return await handler(request)


def entry_of(request: web.Request, now: float) -> Entry:
    """The record of a request whose headers have come."""
    path, _, query = request.raw_path.partition("?")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
    return Entry(request.method, path, query, headers, now)


def chosen_fault(engine: Engine, request: web.Request, *, probe: bool) -> Armed | None:
    """The fault that the request asks for itself, else the one that is armed for it."""
    asked = request.headers.get("x-sim-fault")
    if asked is not None:
        return Armed(asked, parse_fault(asked), None)
    return engine.faults.take(request.path, probe=probe)


def check_key(request: web.Request, options: EngineOptions) -> None:
    """Refuse a `/v1` request without the engine's key with 401, as both engines do."""
    if options.api_key is None or not request.path.startswith("/v1"):
        return
    shown = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(shown, f"Bearer {options.api_key}".encode()):
        raise RefusedError(401, "Unauthorized")


async def suffer(fault: Fault | None, request: web.Request, entry: Entry, engine: Engine) -> web.Response | None:
    """The faults that strike before any work: the answer that takes the place of the real one, or None to go on."""
    match fault:
        case FailedStatus(status) if status < 400:
            return web.Response(status=status)
        case FailedStatus(status, retry_after):
            entry.broken = True
            raise RefusedError(status, f"simulated fault: {entry.fault}", retry_after=retry_after)
        case Refuse():
            close_connection(request)
        case Reset():
            reset_connection(request)
        case Garbage():
            send_garbage(request)
        case Stall(seconds):
            await (for_ever() if seconds is None else engine.sleep(seconds))
            return None
        case _:
            return None
    return web.Response()


def send_garbage(request: web.Request) -> None:
    """Bytes that no HTTP parser takes for an answer."""
    if request.transport is not None:
        request.transport.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        request.transport.close()


def echo(options: EngineOptions, entry: Entry, request: web.Request, body: bytes) -> web.Response:
    """What was received, as JSON. Header values are read as Latin-1, the body as UTF-8 with replacements."""
    received = {
        "engine": options.label,
        "method": entry.method,
        "path": request.raw_path,
        "version": f"{request.version.major}.{request.version.minor}",
        "headers": entry.headers,
        "body": entry.body,
        "body_length": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    return web.Response(body=orjson.dumps(received), content_type="application/json")


def refusal_response(refusal: RefusedError, options: EngineOptions) -> web.Response:
    """A refusal in the engine's own shape."""
    headers = {} if refusal.retry_after is None else {"retry-after": f"{refusal.retry_after:g}"}
    body = orjson.dumps({"error": "Unauthorized"} if refusal.status == 401 else error_body(refusal, options.software))
    return web.Response(status=refusal.status, body=body, headers=headers, content_type="application/json")
