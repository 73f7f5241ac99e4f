"""`penstock test`: where one request would go, and why not elsewhere, without sending it."""

# ruff: noqa: PT028 - the command's function is named test, but it is none of pytest's

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from proxy.cli.decision_text import decision_json, print_decision
from proxy.cli.printing import Page, fail, print_json, warn
from proxy.cli.reading import ask, is_interactive, read_all, read_routes
from proxy.routing.decision import decide
from proxy.routing.sample import REQUEST_KEYS, SampleError, SampleRequest, is_request, request_from

_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Format(StrEnum):
    """How the decision is printed: for people or for programs."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Given:
    """The request as the options give it, part by part."""

    file: str | None
    data: str | None
    method: str | None
    path: str | None
    headers: Sequence[str]
    query: Sequence[str]
    model: str | None

    @property
    def nothing(self) -> bool:
        """No option says anything of a request."""
        return not (self.headers or self.query) and all(
            part is None for part in (self.file, self.data, self.method, self.path, self.model)
        )


def test(  # noqa: PLR0913, PLR0917 - one for each option
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Route files, folders, globs or settings files.")],
    request: Annotated[
        str | None,
        typer.Option(
            "--request", "-r", metavar="FILE", help="A JSON file with the request, or its body; - is standard input."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="JSON", help="The body, where no file is given.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="POST, unless there is a path and no body.")] = None,
    path: Annotated[
        str | None, typer.Option(help="The path, with or without a query; /v1/chat/completions if not given.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="A header; may be repeated.", show_default=False)
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A query parameter; may be repeated.", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model that the body names.")] = None,
    expected: Annotated[
        str | None,
        typer.Option("--expected", "-e", metavar="RULE", help="The rule that must take it: a name, or route/rule."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell every condition of every rule tried.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print the decision.")] = Format.TEXT,
) -> None:
    """Tell where a request would go, and why not elsewhere. Nothing is sent.

    Exit status: 0 when a rule takes it, and also when none does; 1 when another rule takes it than the expected one,
    when something cannot be read, or the configuration has errors; 2 when the command is not understood.
    """
    given = Given(request, data, method, path, header or (), query or (), model)
    routes = read_routes(paths)
    decision = decide(routes.table, sample_from(given), routes.config.servers)
    if output is Format.JSON:
        print_json(decision_json(decision, expected or None))
    else:
        print_decision(Page(), decision, expected or None, verbose=verbose)
    raise typer.Exit(1 if expected and not decision.is_by(expected) else 0)


def sample_from(given: Given) -> SampleRequest:
    """The request that the options give; asked for where somebody sits at a terminal and has given none."""
    if given.nothing:
        if not is_interactive():
            raise typer.BadParameter(
                "say which request: --request, --data, --model, --path, --header, --query or --method"
            )
        parts = _parts(_asked())
    elif given.file is not None:
        parts = _parts(_decoded(read_all(given.file), given.file))
    else:
        parts = {} if given.data is None else {"body": _decoded(given.data.encode(errors="replace"), "--data")}
    try:
        return request_from({**parts, **_overrides(parts, given)})
    except SampleError as fault:
        fail(str(fault))


def _parts(data: object) -> dict[str, object]:
    """A request's parts; data that are none are a body, which is said where they nearly are."""
    if is_request(data):
        return data
    if isinstance(data, dict) and is_request({key: data[key] for key in data.keys() & REQUEST_KEYS}):
        strangers = ", ".join(sorted(map(repr, data.keys() - REQUEST_KEYS)))
        warn(f"taken as a body: a request has {', '.join(sorted(REQUEST_KEYS))}, and not {strangers}")
    return {"body": data}


def _asked() -> object:
    while True:
        answer = ask("Request data")
        try:
            return msgspec.json.decode(answer)
        except _UNDECODABLE as fault:
            warn(f"not JSON: {fault}")


def _decoded(content: bytes, name: str) -> object:
    """The JSON that was given. Leaves with 1 where it is none, or more than one request."""
    try:
        data: object = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except _UNDECODABLE as fault:
        if _is_json(content.strip().partition(b"\n")[0]):
            fail(f"{name}: several requests, one on each line: penstock coverage takes those")
        fail(f"{name}: not JSON: {fault}")
    if isinstance(data, list):
        fail(f"{name}: a list of requests: penstock coverage takes those, penstock test one JSON object")
    return data


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except _UNDECODABLE:
        return False


def _overrides(parts: dict[str, object], given: Given) -> dict[str, object]:
    """What single options say, in place of the file's word."""
    found: dict[str, object] = {}
    if given.method is not None:
        found["method"] = given.method
    if given.path is not None:
        found["path"] = given.path
    if given.headers:
        found["headers"] = {**_lowered(parts.get("headers")), **_headers(given.headers)}
    if given.query:
        pairs = [_pair(one, "=", "--query") for one in given.query]
        query = parts.get("query")
        found["query"] = {**(query if isinstance(query, dict) else {}), **dict(reversed(pairs))}
    if given.model is not None:
        body = parts.get("body")
        if body is not None and not isinstance(body, dict):
            raise typer.BadParameter("--model needs a body that is a JSON object")
        found["body"] = {**(body or {}), "model": given.model}
    return found


def _lowered(headers: object) -> dict[str, object]:
    return {name.lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}


def _headers(given: Sequence[str]) -> dict[str, str]:
    """Headers by name; several of one name are joined, as the proxy does."""
    found: dict[str, str] = {}
    for one in given:
        name, value = (part.strip() for part in _pair(one, ":", "--header"))
        known = found.get(name.lower())
        found[name.lower()] = value if known is None else f"{known}, {value}"
    return found


def _pair(text: str, sign: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    if not name.strip() or not found:
        raise typer.BadParameter(f"{option} needs a name, {sign!r} and a value, found {text!r}")
    return name, value
