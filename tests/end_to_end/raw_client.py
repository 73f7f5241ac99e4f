"""A client that says on the wire what a test tells it to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its head as it came; `whole` says that its framing was kept to the end."""

    status: int
    head: bytes
    body: bytes
    whole: bool = True

    def field(self, name: str) -> str | None:
        """A field's value."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


class RawClient:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    def post(self, body: bytes, path: str = "/v1/chat/completions", **fields: str) -> None:
        """Send a request."""
        self.send(post(body, path, **fields))

    async def ask(self, data: bytes, method: str = "POST") -> Answer:
        """Send bytes and read an answer."""
        self.send(data)
        return await self.answer(method)

    async def head(self) -> bytes:
        """The next head."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self, method: str = "POST") -> Answer:
        """The next answer."""
        head = await self.head()
        status = int(head.split(b" ", 2)[1])
        lower = head.lower()
        async with asyncio.timeout(PATIENCE):
            if method == "HEAD" or status in {204, 304} or status < 200:
                return Answer(status, head, b"")
            try:
                if b"transfer-encoding: chunked" in lower:
                    return Answer(status, head, await self._chunks())
                if b"content-length:" in lower:
                    length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                    return Answer(status, head, await self.reader.readexactly(length))
                return Answer(status, head, await self.reader.read())
            except asyncio.IncompleteReadError as error:
                return Answer(status, head, error.partial, whole=False)
            except ConnectionError:
                return Answer(status, head, b"", whole=False)

    async def chunk(self) -> bytes:
        """The next chunk's data; empty at the end."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """What comes until the proxy closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def close(self) -> None:
        """Leave."""
        self.writer.transport.abort()

    async def _chunks(self) -> bytes:
        body = b""
        while data := await self.chunk():
            body += data
        return body


@asynccontextmanager
async def raw_client(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawClient]:
    """Connect, and leave with the block."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None, limit=1024 * 1024
    )
    client = RawClient(reader, writer)
    try:
        yield client
    finally:
        client.close()


def post(body: bytes, path: str = "/v1/chat/completions", **fields: str) -> bytes:
    """A POST as bytes. An underscore in a field's name stands for a dash."""
    lines = [f"POST {path} HTTP/1.1", "Host: proxy", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, method: str = "GET", **fields: str) -> bytes:
    """A request without a body as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: proxy"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chat(model: str = "qwen", **more: object) -> bytes:
    """The body of a chat."""
    fields: Mapping[str, object] = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    return orjson.dumps(fields)
