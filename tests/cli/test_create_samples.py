"""Samples hold what they say."""

import pytest

from proxy.cli.create_samples import Sample, mixtrain_sample, most_endpoints, native_sample, servers_of
from proxy.config.loader import load_texts
from proxy.config.spec import Config
from proxy.routing.compiler import compile_table
from proxy.routing.decision import Decision, decide
from proxy.routing.sample import sample_of


def loaded(file: str, text: str) -> Config:
    found = load_texts({file: text})
    assert found.config is not None
    assert found.problems == ()
    return found.config


def decided(config: Config, **more: object) -> Decision:
    return decide(compile_table(config), sample_of(**more), config.servers)  # type: ignore[arg-type]


@pytest.mark.parametrize("sample", Sample)
@pytest.mark.parametrize("name", ["a", "${A}", "it's", "- a", "true", '"', "é" * 200, "a: b # c"])
def test_a_sample_bears_its_name_whatever_it_is(sample: Sample, name: str) -> None:
    assert loaded("a.yaml", native_sample(name, sample, ())).routes[0].name == name


@pytest.mark.parametrize("sample", Sample)
def test_a_sample_has_a_line_length_that_can_be_read(sample: Sample) -> None:
    assert all(len(line) <= 100 for line in native_sample("chat", sample, ()).splitlines())


def test_both_forms_send_requests_alike() -> None:
    for sample, strategy, selected in (
        (Sample.SIMPLE, "single", 1),
        (Sample.AB_TEST, "split", 1),
        (Sample.FALLBACK, "fallback", 3),
    ):
        endpoints = ["http://a", "http://b", "http://c"][: most_endpoints(sample) or 3]
        if sample is Sample.SIMPLE:
            endpoints = endpoints[:1]
        for file, write in (("a.yaml", native_sample), ("a.json", mixtrain_sample)):
            decision = decided(loaded(file, write("x", sample, endpoints)))
            assert (decision.strategy, decision.selected) == (strategy, selected)


def test_the_canary_is_asked_for_or_drawn() -> None:
    native = loaded("a.yaml", native_sample("x", Sample.CANARY, ()))
    asked = decided(native, headers={"x-canary": "true"})
    assert [target.server for target in asked.targets] == ["canary"]
    assert [target.share for target in decided(native).targets] == [0.95, 0.05]
    mixtrain = loaded("a.json", mixtrain_sample("x", Sample.CANARY, ()))
    assert decided(mixtrain, headers={"x-canary": "true"}).rule == "insiders"
    assert [target.share for target in decided(mixtrain).targets] == [0.95, 0.05]


def test_premium_users_have_their_own_server() -> None:
    native = loaded("a.yaml", native_sample("x", Sample.PREMIUM, ()))
    assert decided(native, headers={"user-type": "premium"}).rule == "premium"
    mixtrain = loaded("a.json", mixtrain_sample("x", Sample.PREMIUM, ()))
    assert decided(mixtrain, body={"user": {"tier": "premium"}}).rule == "premium"
    assert decided(mixtrain).rule == "default"


def test_missing_endpoints_are_of_this_machine_and_further_ones_make_further_servers() -> None:
    assert servers_of(Sample.SIMPLE, ["http://a", "http://b"]) == {"default": ["http://a", "http://b"]}
    assert servers_of(Sample.SIMPLE, []) == {"default": ["http://127.0.0.1:9001"]}
    assert servers_of(Sample.CANARY, ["http://a"]) == {"stable": ["http://a"], "canary": ["http://127.0.0.1:9002"]}
    assert list(servers_of(Sample.FALLBACK, ["http://a"] * 4)) == ["primary", "backup", "backup-2", "backup-3"]
