"""Callers and what they show: key files, requests with a credential, and engines that hear what comes through."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.access.keys import digest_of, make_key
from tests.end_to_end.engines import RawConnection
from tests.end_to_end.raw_client import Answer, chat, post, raw_client


async def hello(connection: RawConnection) -> None:
    """An engine that answers whatever it is asked."""
    while await connection.request():
        await connection.answer(b'{"said": "hello"}')


class Keys:
    """A key file, which is written anew with each change. The keys themselves are known to their holders alone."""

    def __init__(self, folder: Path, name: str = "keys") -> None:
        self.path = folder / f"{name}.json"
        self._entries: dict[str, Mapping[str, object]] = {}
        self._write()

    def add(self, name: str, key: str | None = None, **members: object) -> str:
        """Let somebody in; the key that they show from now on."""
        key = make_key() if key is None else key
        self._entries[name] = {"name": name, "sha256": digest_of(key.encode()).hex(), **members}
        self._write()
        return key

    def revoke(self, name: str) -> None:
        """Let them in no more."""
        del self._entries[name]
        self._write()

    def _write(self) -> None:
        self.path.write_text(json.dumps({"version": 1, "keys": list(self._entries.values())}))


def bearer(credential: str) -> dict[str, str]:
    """The field that shows it."""
    return {"Authorization": f"Bearer {credential}"}


def api_key(credential: str) -> dict[str, str]:
    """The other field that shows it."""
    return {"x_api_key": credential}


async def ask(port: int, data: bytes, tls: ssl.SSLContext | None = None, method: str = "POST") -> Answer:
    """The answer to a request on a connection of its own."""
    async with raw_client(port, tls) as client:
        return await client.ask(data, method)


async def status_of(port: int, fields: Mapping[str, str], path: str = "/v1/chat/completions", **body: Any) -> int:
    """How a chat on a connection of its own ends."""
    return (await ask(port, post(chat(**body), path, **fields))).status


def error_of(answer: Answer) -> str:
    """The code of an error."""
    return str(json.loads(answer.body)["error"]["code"])


def field_of(request: bytes, name: str) -> list[str]:
    """All values of a field in a request that an engine has heard."""
    lines = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].lower() == name.lower()]
