"""Promises of a worker's reception: who is known, where they are led, what is answered here, and what is recorded."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.access.authenticator import Authenticator
from proxy.config.access_spec import Auth
from proxy.errors import RequestError
from proxy.forwarding.admission import Admission
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.peek import Peek
from proxy.forwarding.snapshot import Snapshot
from proxy.routing.compiler import compile_table
from proxy.runtime.reception import Reception, model_card, model_list
from tests.downstream.visits import Visit, get, post
from tests.end_to_end.callers import Keys
from tests.end_to_end.proxies import config_of

ROUTES = (
    "servers: {engine: {endpoints: ['http://127.0.0.1:1']}}\n"
    "routes:\n"
    "  - {name: models, models: [small, large], rules: [{name: any, targets: [engine]}]}\n"
    "  - {name: path, rules: [{name: any, match: {path: '/p*'}, targets: [engine]}]}\n"
)


class Forwarding:
    """Takes calls, and does with them what it is told."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.fails: BaseException | None = None

    async def forward(self, call: Call) -> None:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails
        call.downstream.finish(True)


class Desk:
    """A reception with one configuration in force."""

    def __init__(self, *, auth: Auth | None = None, routes: str | None = ROUTES, draining: bool = False) -> None:
        self.forwarding = Forwarding()
        self.authenticator = Authenticator()
        self.records: list[Exchange] = []
        self.reception = Reception(
            self.authenticator,
            cast("Any", self.forwarding),
            auth=auth,
            draining=lambda: draining,
            record=self.records.append,
        )
        if routes is not None:
            config = config_of(routes)
            table = compile_table(config)
            models = model_list([model_card(name) for name in table.models])
            admission = Admission(cast("Any", None))
            self.reception.snapshot = Snapshot(config, table, {}, admission, Peek(table.body_fields), models)

    async def ask(self, data: bytes, visit: Visit | None = None) -> bytes:
        """What a client hears that sends this."""
        visit = visit or Visit()
        visit.sends(data)
        await self.reception.handle(visit.connection, visit.requests[-1])
        return visit.hears()

    async def status(self, data: bytes, visit: Visit | None = None) -> int:
        """The status that it hears; 0 for a call that was forwarded."""
        heard = await self.ask(data, visit)
        return int(heard[9:12]) if heard else 0


async def desk_of(auth: Auth, **more: Any) -> Desk:
    """One that knows callers."""
    desk = Desk(auth=auth, **more)
    await desk.authenticator.adopt([auth])
    return desk


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def shown(key: str) -> bytes:
    return f"Authorization: Bearer {key}".encode()


# --- where requests go ------------------------------------------------------------------------------------------------


async def test_a_request_is_led_by_its_model_or_its_path_and_recorded() -> None:
    desk = Desk()
    assert await desk.status(post(b'{"model": "small"}', target=b"/x")) == 0
    assert await desk.status(get(b"/p/x")) == 0
    assert [(call.match.route, call.match.rule) for call in desk.forwarding.calls] == [
        ("models", "any"),
        ("path", "any"),
    ]
    assert [(one.route, one.rule, one.model) for one in desk.records] == [
        ("models", "any", "small"),
        ("path", "any", None),
    ]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (post(b'{"model": "other"}', target=b"/x"), 404, "model_not_found"),
        (post(b"{", b"Content-Type: application/json", target=b"/x"), 400, "invalid_json"),
        (post(b"{", target=b"/x"), 404, "no_route"),
        (get(b"/x"), 404, "no_route"),
    ],
)
async def test_what_leads_nowhere_is_told_what_was_missing(data: bytes, status: int, code: str) -> None:
    desk = Desk()
    heard = await desk.ask(data)
    assert heard.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == code
    assert (desk.records[0].status, desk.records[0].failure) == (status, code)
    told = re.search(rb"X-Request-Id: (\S+)", heard)
    assert told is not None
    assert told[1].decode() == desk.records[0].request_id


async def test_no_two_requests_go_by_the_same_id() -> None:
    desk = Desk()
    visit = Visit()
    for _ in range(50):
        await desk.ask(get(b"/p"), visit)
    assert len({one.request_id for one in desk.records}) == 50


async def test_before_there_is_a_configuration_clients_are_told_to_come_again() -> None:
    heard = await Desk(routes=None).ask(get(b"/p"))
    assert heard.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in heard


# --- what is answered here --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draining", "routes", "expected"), [(False, ROUTES, 200), (True, ROUTES, 503), (False, None, 503)]
)
async def test_it_is_ready_while_it_serves(draining: bool, routes: str | None, expected: int) -> None:
    desk = Desk(routes=routes, draining=draining)
    assert await desk.status(get(b"/health")) == 200
    assert await desk.status(get(b"/ready")) == expected


async def test_the_models_that_are_served_are_listed() -> None:
    desk = Desk()
    heard = await desk.ask(get(b"/v1/models"))
    assert [model["id"] for model in json.loads(heard.partition(b"\r\n\r\n")[2])["data"]] == ["small", "large"]
    assert (await desk.ask(b"HEAD /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"\r\n\r\n")
    assert desk.forwarding.calls == []
    assert [one.status for one in desk.records] == [200, 200]


async def test_metrics_are_told_at_no_listener_of_the_settings() -> None:
    assert await Desk().status(get(b"/metrics")) == 404


# --- whatever happens -------------------------------------------------------------------------------------------------


async def test_a_fault_of_ours_ends_one_request_and_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    desk, visit = Desk(), Visit()
    desk.forwarding.fails = ZeroDivisionError()
    assert await desk.ask(get(b"/p"), visit) == b""
    assert visit.transport.aborted
    assert (desk.records[0].status, desk.records[0].failure) == (500, "internal_error")
    assert "a request failed inside the proxy" in caplog.text


async def test_a_client_that_has_gone_is_recorded() -> None:
    desk = Desk()
    desk.forwarding.fails = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await desk.ask(get(b"/p"))
    assert (desk.records[0].status, desk.records[0].failure) == (499, "client_gone")


async def test_an_error_of_a_call_is_the_answer_and_keeps_the_connection() -> None:
    desk, visit = Desk(), Visit()
    desk.forwarding.fails = RequestError(503, "nobody is there", code="no_endpoint")
    assert await desk.status(get(b"/p"), visit) == 503
    assert not visit.hung_up
    assert desk.records[0].bytes_out > 0


async def test_while_draining_no_connection_stays() -> None:
    desk, visit = Desk(draining=True), Visit()
    assert b"Connection: close\r\n" in await desk.ask(get(b"/x"), visit)
    assert visit.hung_up


def test_of_a_message_that_did_not_pass_the_gate_nothing_is_recorded_that_it_says() -> None:
    desk = Desk()
    desk.reception.refused(Visit().connection, RequestError.malformed("it is malformed"))
    record = desk.records[0]
    assert (record.method, record.target, record.status, record.failure) == ("-", "-", 400, "bad_request")


# --- who calls --------------------------------------------------------------------------------------------------------


async def test_what_the_settings_ask_for_comes_before_anything_else(keys: Keys) -> None:
    key = keys.add("ada")
    desk = await desk_of(Auth(keys=str(keys.path)))
    for data in (get(b"/p"), get(b"/nowhere"), get(b"/v1/models"), get(b"/metrics"), post(b"{")):
        assert await desk.status(data) == 401
    assert await desk.status(get(b"/health")) == 200
    assert await desk.status(get(b"/nowhere", shown(key))) == 404
    assert await desk.status(get(b"/p", shown(key))) == 0
    assert [one.caller for one in desk.records[-2:]] == ["ada", "ada"]
    assert len(desk.forwarding.calls) == 1


async def test_a_path_of_two_readings_is_refused_only_where_somebody_asks_who_calls(keys: Keys) -> None:
    key = keys.add("ada")
    assert await Desk().status(get(b"/p//x")) == 0
    desk = await desk_of(Auth(keys=str(keys.path)))
    assert await desk.status(get(b"/p//x", shown(key))) == 400
    assert desk.forwarding.calls == []


@pytest.mark.parametrize(
    ("forward", "required", "credential", "strips"),
    [
        (False, True, "KEY", True),
        (True, True, "KEY", False),
        (False, False, "KEY", True),
        (False, False, "sk-of-the-engine", False),
        (False, False, None, False),
    ],
)
async def test_a_credential_that_was_for_us_is_marked_as_such(
    keys: Keys, forward: bool, required: bool, credential: str | None, strips: bool
) -> None:
    key = keys.add("ada")
    desk = await desk_of(Auth(keys=str(keys.path), required=required, forward=forward))
    fields = [] if credential is None else [shown(credential.replace("KEY", key))]
    assert await desk.status(get(b"/p", *fields)) == 0
    assert desk.forwarding.calls[0].strips is strips


CERTIFICATE = {"subject": ((("commonName", "ada.example"),),)}


async def test_beside_a_certificate_only_what_was_for_us_is_kept(keys: Keys) -> None:
    old, good = keys.add("old", expires="2020-01-01"), keys.add("ada")
    desk = await desk_of(Auth(keys=str(keys.path), client_certificate=True))
    for credential in (None, "sk-of-the-engine", old, good):
        visit = Visit(sslcontext=object(), peercert=CERTIFICATE)
        assert await desk.status(get(b"/p", *([] if credential is None else [shown(credential)])), visit) == 0
    assert [call.strips for call in desk.forwarding.calls] == [False, False, True, True]
    assert [one.caller for one in desk.records] == ["ada.example", "ada.example", "ada.example", "ada"]


async def test_a_certificate_counts_on_its_own_connection_alone(keys: Keys) -> None:
    desk = await desk_of(Auth(client_certificate=True))
    assert await desk.status(get(b"/p"), Visit(sslcontext=object(), peercert=CERTIFICATE)) == 0
    assert await desk.status(get(b"/p"), Visit(sslcontext=object(), peercert={})) == 401
    assert await desk.status(get(b"/p"), Visit(peercert=CERTIFICATE)) == 401


# --- what conditions see of a caller ----------------------------------------------------------------------------------

SAYS = post(b'{"user": {"id": "root", "tier": "premium"}}')


async def test_a_body_says_who_its_user_is_where_nobody_is_asked() -> None:
    desk = Desk(routes=TIERS)
    assert await desk.status(SAYS) == 0
    assert desk.forwarding.calls[0].match.rule == "premium"


@pytest.mark.parametrize("required", [True, False])
async def test_a_credential_says_it_in_place_of_the_body(keys: Keys, required: bool) -> None:
    plain, gold = keys.add("ada"), keys.add("bob", tier="premium")
    desk = await desk_of(Auth(keys=str(keys.path), required=required), routes=TIERS)
    for key, rule in ((plain, "normal"), (gold, "premium")):
        assert await desk.status(SAYS.replace(b"Host: a", b"Host: a\r\n" + shown(key))) == 0
        assert desk.forwarding.calls[-1].match.rule == rule


async def test_a_body_says_nothing_of_its_user_once_any_route_knows_callers(keys: Keys) -> None:
    desk = Desk(routes=TIERS)
    await desk.authenticator.adopt([Auth(keys=str(keys.path))])  # of another route
    assert await desk.status(SAYS) == 0
    assert desk.forwarding.calls[-1].match.rule == "normal"


async def test_where_a_credential_is_optional_a_body_says_nothing_of_its_user(keys: Keys) -> None:
    desk = await desk_of(Auth(keys=str(keys.path), required=False), routes=TIERS)
    for data in (SAYS, SAYS.replace(b"Host: a", b"Host: a\r\n" + shown("sk-of-the-engine"))):
        assert await desk.status(data) == 0
        assert desk.forwarding.calls[-1].match.rule == "normal"


TIERS = (
    "servers: {engine: {endpoints: ['http://127.0.0.1:1']}}\n"
    "routes:\n  - name: all\n    rules:\n"
    "      - name: premium\n        targets: [engine]\n"
    "        match: {fields: [{field: user.tier, operator: equals, value: premium}]}\n"
    "      - {name: normal, match: {path: '/*'}, targets: [engine]}\n"
)


async def test_a_key_with_models_is_held_to_them(keys: Keys) -> None:
    key = keys.add("ada", models=["small"])
    desk = await desk_of(Auth(keys=str(keys.path)))

    async def status(body: bytes, *fields: bytes) -> int:
        return await desk.status(post(body, shown(key), *fields))

    assert await status(b'{"model": "small"}') == 0
    assert await status(b'{"model": "large"}') == 403
    assert await status(b"{}") == 403
    assert await status(b'{"model": "small"}', b"X-Gateway-Model-Name-Rewrite: large") == 403
    heard = await desk.ask(get(b"/v1/models", shown(key)))
    assert [model["id"] for model in json.loads(heard.partition(b"\r\n\r\n")[2])["data"]] == ["small"]
