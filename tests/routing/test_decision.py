"""A decision tells what a lookup does, and all that is settled for the request."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import (
    Config,
    ModelServer,
    Retries,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    Shadow,
    Target,
    Timeouts,
)
from proxy.errors import RequestError
from proxy.forwarding.call import Call
from proxy.routing.compiler import compile_table
from proxy.routing.decision import Answer, Decision, SentModel, decide, is_for, sent_models
from proxy.routing.sample import SampleRequest, sample_of
from proxy.routing.table import BoundTarget, RouteMatch
from tests.config.configs import configs
from tests.routing.written import CHAT, PATIENT, table_of, written

CONFIG = written()
TABLE = compile_table(CONFIG)
REQUESTS = st.builds(
    sample_of,
    st.none() | st.dictionaries(st.sampled_from(["model", "user"]), st.sampled_from(["a", "ab", "b", "1"])),
    method=st.sampled_from(["GET", "POST"]),
    target=st.sampled_from(["/v1/x", "/", "/v1/x?a=b"]),
    headers=st.dictionaries(st.sampled_from(["ab", "b-c"]), st.text(max_size=2)),
)


def decided(body: object = None, **more: object) -> Decision:
    return decide(TABLE, sample_of(body, **more), CONFIG.servers)  # type: ignore[arg-type]


@PATIENT
@given(configs(), REQUESTS)
def test_it_is_what_lookup_finds_and_no_split_moves_on(config: Config, request: SampleRequest) -> None:
    table = compile_table(config)
    found = table.lookup(request)
    decision = decide(table, request, config.servers)
    assert decision == decide(table, request, config.servers)
    assert decision.matched == (found is not None)
    assert (decision.route, decision.rule) == ((found.route, found.rule) if found else (None, None))
    if found is None:
        return
    assert tuple(target.server for target in decision.targets) == tuple(item.server for item in found.split.items)
    assert sum(target.share for target in decision.targets) == pytest.approx(1)
    for target in decision.targets:
        assert sum(model.share for model in target.models) == pytest.approx(1)
    again = compile_table(config).lookup(request)
    assert again is not None
    assert turn(found) == turn(again)


def turn(match: RouteMatch) -> list[tuple[str, str | None]]:
    """The next targets of a split."""
    return [(target.server, target.model) for target in (match.split.pick() for _ in range(4))]


def test_a_split_is_told_by_its_shares() -> None:
    decision = decided({"model": "qwen"})
    assert (decision.route, decision.rule, decision.strategy, decision.selected) == (
        "chat",
        "default",
        "split+fallback",
        3,
    )
    assert [(target.server, target.share) for target in decision.targets] == [("small", 0.7), ("next", 0.3)]
    assert [target.models for target in decision.targets] == [(SentModel("qwen"),), (SentModel("qwen-next"),)]
    assert [target.endpoints for target in decision.targets] == [("http://h:1",), ("http://h:2",)]
    assert decision.explanation == "Matched rule 'default' of route 'chat' (holds always)"


def test_the_policies_in_force_are_told() -> None:
    decision = decided({"metadata": {"offline": True}})
    assert decision.targets[0].timeouts == Timeouts(5.0, 20.0, 20.0, 300.0)
    assert decision.targets[0].retries == Retries(5)
    assert decision.origin.line == 21


def test_why_earlier_rules_did_not_match_is_told_with_the_values_found() -> None:
    decision = decided({"model": "qwen"}, headers={"user-type": "free"})
    assert [(tried.rule, tried.holds) for tried in decision.tried] == [("premium", False), ("default", True)]
    assert decision.tried[0].reason == "not: header user-type is 'premium' (it is 'free')"


def test_the_model_that_is_sent_is_the_targets_then_the_servers_then_the_clients() -> None:
    premium = decided({"model": "qwen"}, headers={"user-type": "premium"})
    assert premium.targets[0].models == (SentModel("qwen-72b"),)
    assert decided({"metadata": {"offline": True}}).targets[0].models == (SentModel(None),)
    adapter = decided({"model": "lora"})
    assert [target.models for target in adapter.targets] == [(SentModel("lora"),)] * 2


def rewriting(*rewrites: Rewrite) -> Config:
    server = ModelServer("pool", (), model="own", rewrites=rewrites)
    return Config({"pool": server}, (Route("r", (Rule("all", (Target("pool"),)),)),))


SPLIT = Rewrite((RewriteTarget("v1", 3), RewriteTarget("v2", 1), RewriteTarget("v3", 0)), ("m",))
ANY = Rewrite((RewriteTarget("any"),))


@pytest.mark.parametrize(
    ("rewrites", "body", "path", "models"),
    [
        ((SPLIT,), {"model": "m"}, "/x", (SentModel("v1", 0.75), SentModel("v2", 0.25))),
        ((SPLIT,), {"model": "other"}, "/x", (SentModel("own"),)),
        ((SPLIT, ANY), {"model": "other"}, "/x", (SentModel("any"),)),
        ((ANY,), {}, "/v1/chat/completions", (SentModel("any"),)),
        ((ANY,), {}, "/x", (SentModel(None),)),
        ((ANY,), None, "/v1/chat/completions", (SentModel(None),)),
        ((SPLIT,), {}, "/v1/chat/completions", (SentModel("own"),)),
        ((SPLIT,), {"model": ""}, "/x", (SentModel(""),)),
    ],
)
def test_a_servers_rewrites_come_before_anything_else(
    rewrites: tuple[Rewrite, ...], body: object, path: str, models: tuple[SentModel, ...]
) -> None:
    config = rewriting(*rewrites)
    decision = decide(compile_table(config), sample_of(body, target=path))
    assert decision.targets[0].models == models


def test_a_request_that_no_name_can_be_found_for_is_refused() -> None:
    server = ModelServer("pool", (), rewrites=(SPLIT,))
    config = Config({"pool": server}, (Route("r", (Rule("all", (Target("pool"),)),)),))
    table = compile_table(config)
    assert decide(table, sample_of({})).targets[0].answer == Answer(
        400, "the body names no model, and nothing gives it one"
    )
    assert decide(table, sample_of({"model": "x"})).targets[0].answer is None


@PATIENT
@given(configs(), REQUESTS)
def test_the_names_that_are_sent_are_those_that_a_call_sends(config: Config, request: SampleRequest) -> None:
    table = compile_table(config)
    match = table.lookup(request)
    for target in () if match is None else match.split.items:
        told = {model.name or None for model in sent_models(target, request)}
        assert {model_sent(target, request) or None for _ in range(8)} <= told


def model_sent(target: BoundTarget, request: SampleRequest) -> str | None:
    """What a call settles on; the client's name where the body goes as it came."""
    call = object.__new__(Call)
    call.facts = SimpleNamespace(
        model=request.model, json=isinstance(request.body, dict), path=request.path, header=request.header
    )  # type: ignore[assignment]
    try:
        found = call.model_for(target)
    except RequestError:
        return None
    return request.model if found is None else found


def test_a_server_that_is_not_asked_tells_what_is_answered() -> None:
    decision = decided({"model": "qwen"})
    empty = decision.fallback[1]
    assert empty.answer == Answer(503, "no endpoint of the model server 'empty' is available: it has no endpoints")
    assert decision.fallback[0].answer is None
    missing = replace(CONFIG.servers["empty"], missing=True)
    config = replace(CONFIG, servers={**CONFIG.servers, "empty": missing})
    answer = decide(compile_table(config), sample_of({"model": "qwen"}), config.servers).fallback[1].answer
    assert answer is not None
    assert answer.reason.endswith("no file defines it")


def test_a_shadow_and_headers_are_told() -> None:
    server = ModelServer("s", (), headers=(("X-A", "secret"),))
    rule = Rule("r", (Target("s"),), shadow=Shadow(Target("s", model="copy")))
    config = Config({"s": server}, (Route("route", (rule,)),))
    decision = decide(compile_table(config), sample_of({"model": "m"}))
    assert (decision.strategy, decision.selected) == ("shadow", 2)
    assert decision.shadow is not None
    assert decision.shadow.models == (SentModel("copy"),)
    assert decision.targets[0].headers == ("X-A",)
    assert decision.targets[0].endpoints is None


def test_a_routes_own_fallback_is_a_rule_of_its_own() -> None:
    rule = Rule("r", (Target("s"),), enabled=False)
    config = Config({"s": ModelServer("s", ())}, (Route("a", (rule,), ("m",), fallback=(Target("s"), Target("s"))),))
    decision = decide(compile_table(config), sample_of({"model": "m"}))
    assert (decision.rule, decision.strategy, decision.disabled) == ("fallback", "fallback", ("a/r",))


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        (
            {"model": "gpt-5"},
            "No rules matched the request: no route names the model 'gpt-5', and no rule for any model holds",
        ),
        (None, "No rules matched the request: it names no model, and no rule for any model holds"),
    ],
)
def test_that_no_rule_matches_is_told_with_what_is_lacking(body: object, explanation: str) -> None:
    decision = decided(body)
    assert not decision.matched
    assert decision.explanation == explanation
    assert decision.selected == 0


def test_a_route_that_names_the_model_may_still_have_no_rule_for_it() -> None:
    table = table_of(CHAT.replace("      - name: default\n", "      - match: {method: PUT}\n        name: default\n"))
    assert decide(table, sample_of({"model": "qwen"})).explanation == "No rules matched the request"


def test_a_rule_is_expected_by_its_name_or_with_its_routes() -> None:
    decision = decided({"model": "qwen"})
    assert decision.is_by("default")
    assert decision.is_by("chat/default")
    assert not decision.is_by("batch/default")
    assert not decision.is_by("chat")
    assert not decided().is_by("default")


@pytest.mark.parametrize(
    ("route", "model", "holds"),
    [
        (Route("r", ()), None, True),
        (Route("r", ()), "m", True),
        (Route("r", (), ("m*",)), "mm", True),
        (Route("r", (), ("m",)), "mm", False),
        (Route("r", (), adapters=("l",)), "l", True),
        (Route("r", (), adapters=("l",)), None, False),
    ],
)
def test_which_models_a_route_is_for_is_known(route: Route, model: str | None, holds: bool) -> None:
    assert is_for(route, model) is holds


def test_what_is_asked_of_the_body_is_found_in_it() -> None:
    body = json.loads('{"metadata": {"offline": true}}')
    assert decided(body).rule == "offline"
