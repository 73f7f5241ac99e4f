"""How the commands ask what runs: where its admin address is, whom it is trusted to be, and what it answers."""

import http.client
import os
import ssl
from typing import NamedTuple, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import msgspec
from rich.console import Console

from proxy.cli.printing import fail
from proxy.cli.validate import print_problems
from proxy.config.settings import load_settings, locate_settings
from proxy.config.settings_spec import Listener

Shape = TypeVar("Shape")

TIMEOUT = 90.0
"""Seconds: a change is answered once it is in force in every worker."""

LARGEST_ANSWER = 64 * 1024 * 1024  # bytes
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to ask, not to listen


class AdminAddress(NamedTuple):
    """Where the admin listener is, and how its certificate is checked where it has one."""

    url: str
    context: ssl.SSLContext | None = None


class Refusal(msgspec.Struct, frozen=True):
    """What the admin API says of what it does not do."""

    error: str


def admin_address(admin: str | None, config: str | None) -> AdminAddress:
    """The address that an option names, or that of the settings. Leaves with 1 or 2 where there is none."""
    address = AdminAddress(admin.rstrip("/")) if admin is not None else find_admin(config)
    if urlsplit(address.url).scheme not in {"http", "https"}:
        fail(f"{address.url}: the admin address is a URL such as http://127.0.0.1:8401", 2)
    return address


def find_admin(config: str | None) -> AdminAddress:
    """The admin address of the settings that `penstock serve` would read here. Leaves with 1 or 2 where it has none."""
    file = locate_settings(config, os.environ)
    result = load_settings(file)
    if result.settings is None:
        print_problems(result.problems, Console(stderr=True, highlight=False, soft_wrap=True))
        fail("the settings cannot be read: say where the admin listener is with --admin URL", 2)
    listener = result.settings.admin
    where = file or "the settings"
    if listener is None:
        fail(f"{where}: the admin listener is turned off")
    if listener.port == 0:
        fail(f"{where}: the admin port is chosen at each start: say where it is with --admin URL")
    return AdminAddress(url_of(listener), trust(listener))


def url_of(listener: Listener) -> str:
    """How a listener of this machine is asked."""
    host = EVERYWHERE.get(listener.host, listener.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if listener.tls else 'http'}://{host}:{listener.port}"


def trust(listener: Listener) -> ssl.SSLContext | None:
    """A context that takes exactly the certificate that the settings name, whoever signed it and for what name."""
    if listener.tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=listener.tls.cert)
    except OSError as error:
        fail(f"{listener.tls.cert}: cannot be used as a certificate: {error.strerror or error}")
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def ask(address: AdminAddress, method: str, path: str) -> bytes:
    """The body of an answer of 200. Leaves with 1 where there is none."""
    # No proxy of the environment stands between this machine and its own admin listener.
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=address.context))
    request = Request(address.url + path, method=method, headers={"Accept": "application/json"})  # noqa: S310
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(LARGEST_ANSWER)
    except HTTPError as error:
        with error:
            fail(refusal(error, address))
    except URLError as error:
        fail(f"nobody answers at {address.url}: {reason(error.reason)}; is penstock serve running there?")
    except (OSError, http.client.HTTPException, ValueError) as error:
        fail(f"{address.url}: {reason(error)}")
    return body


def reason(error: object) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def refusal(error: HTTPError, address: AdminAddress) -> str:
    """What an admin listener says, or that this is none."""
    try:
        return msgspec.json.decode(error.read(LARGEST_ANSWER), type=Refusal).error
    except (msgspec.MsgspecError, OSError, http.client.HTTPException):
        return f"{address.url} answers {error.code}: it is no admin address of this version"


def decoded(body: bytes, kind: type[Shape], address: AdminAddress) -> Shape:
    """An answer as it should be. Leaves with 1 where it is something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        fail(f"{address.url} answers something else: it is no admin address of this version")
