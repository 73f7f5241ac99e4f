"""Each question is asked again until its answer will do; what comes of the answers has no fault."""

import io
from collections.abc import Sequence

import pytest

from proxy.cli.create_questions import ask_config, native_text
from proxy.config.loader import load_texts
from proxy.config.spec import Config
from proxy.mixtrain.models import RoutingConfig

TARGET = ["custom", "m", "http://h", "1.0"]


class Talk:
    """Answers given one after the other, and what was said in between."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def hold(self, answers: Sequence[str]) -> tuple[RoutingConfig, str]:
        self._monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
        return ask_config("x"), self._capsys.readouterr().err


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    return Talk(monkeypatch, capsys)


def rule(*conditions: str, strategy: str = "", targets: Sequence[str] = TARGET, name: str = "r") -> list[str]:
    return [name, "", "", *conditions, "", strategy, *targets, ""]


def native(config: RoutingConfig) -> Config:
    loaded = load_texts({"a.yaml": native_text(config)})
    assert loaded.config is not None, loaded.problems
    return loaded.config


def test_the_fewest_answers_make_a_rule_for_every_request(talk: Talk) -> None:
    config, said = talk.hold(["", *rule(), ""])
    assert [(one.name, one.priority, one.strategy, one.conditions) for one in config.rules] == [("r", 0, "single", [])]
    assert config.rules[0].targets[0].endpoint == "http://h"
    assert "Strategy (single, split, shadow, fallback) [single]: " in said


def test_values_are_json_where_they_are_some(talk: Talk) -> None:
    conditions = ["a", "equals", "1", "b", "", "premium", "c", "in", '["x", 1]', "d", "exists", "e", "equals", "NaN"]
    config, _ = talk.hold(["", *rule(*conditions), "n"])
    found = [(one.field, one.operator, one.value) for one in config.rules[0].conditions]
    assert found == [
        ("a", "equals", 1),
        ("b", "equals", "premium"),
        ("c", "in", ["x", 1]),
        ("d", "exists", None),
        ("e", "equals", "NaN"),
    ]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (["", "", *rule()], "Rule name is required"),
        (["", "r", "x", *rule()[1:]], "a priority is a whole number"),
        (["", "r", "-1", *rule()[1:]], "priority cannot be negative"),
        (["", *rule("a..b")], "contains '..'"),
        (["", *rule("a", "is", "equals", "1")], "an operator is one of equals, not_equals"),
        (["", *rule("a", "in", "1", "equals", "1")], "requires a list value"),
        (["", *rule("a", "regex", "(", "regex", "x")], "Invalid regex pattern"),
        (["", *rule("a", "regex", "(?=x)", "regex", "x")], "no pattern that RE2 accepts"),
        (["", *rule("a", "equals", '{"a": 1}', "equals", "1")], "an object is no value"),
        (["", "r", "", "", "", "best", *rule()[4:]], "'best' is not a valid RoutingStrategy"),
        (["", *rule(strategy="shadow", targets=[*TARGET, "", "single", *TARGET])], "a shadow has two targets"),
        (["", *rule(strategy="split", targets=[*TARGET[:3], "0.5", "", "", *TARGET])], "1.0 in all, not 0.5"),
        (["", *rule(targets=["", *TARGET])], "a rule needs a target"),
        (["", *rule(targets=["custom", "", "m", "http://h", ""])], "'model_name' is required"),
        (["", *rule(targets=["custom", "m", "ftp://h", "http://h", ""])], "valid HTTP/HTTPS URL"),
        (["", *rule(targets=["custom", "m", "http://h:99999", "http://h", ""])], "penstock: "),
        (["", *rule(targets=["custom", "m", "http://h", "2", "x", "1"])], "a weight is a number from 0 to 1"),
        (["", *rule(), "perhaps"], "y or n"),
        (["", *rule(), "y", "r", *rule(name="other")], "there is a rule 'r' already"),
    ],
)
def test_an_answer_that_will_not_do_is_asked_for_again(talk: Talk, answers: list[str], reason: str) -> None:
    config, said = talk.hold([*answers, "n"])
    assert reason in said
    assert native(config).routes[0].rules


def test_a_native_file_calls_servers_as_its_rules(talk: Talk) -> None:
    split = ["custom", "a", "http://a", "0.7", "custom", "b", "http://b", "0.3"]
    shadow = ["custom", "a", "http://a", "1", "custom", "b", "http://b", "1"]
    config, _ = talk.hold(
        ["", *rule("f", "exists", name="one"), "y", *rule("g", "exists", strategy="split", targets=split, name="two"),
         "y", *rule("h", "exists", strategy="shadow", targets=shadow, name="three"),
         "y", *rule(strategy="fallback", targets=shadow, name="four"), "n"]
    )  # fmt: skip
    found = native(config)
    assert list(found.servers) == ["one", "two-1", "two-2", "three-1", "three-2", "four-1", "four-2"]
    one, two, three, four = found.routes[0].rules
    assert [(target.server, target.weight) for target in two.targets] == [("two-1", 700_000), ("two-2", 300_000)]
    assert three.shadow is not None
    assert (three.targets[0].server, three.shadow.target.server) == ("three-1", "three-2")
    assert [target.server for target in four.fallback] == ["four-2"]
    assert found.servers["one"].model == "m"
    assert found.routes[0].kind == "route"
    assert one.matches


def test_names_that_would_be_the_same_are_told_apart(talk: Talk) -> None:
    split = ["custom", "a", "http://a", "0.5", "custom", "b", "http://b", "0.5"]
    config, _ = talk.hold(
        ["", *rule("f", "exists", name="a-1"), "y", *rule(strategy="split", targets=split, name="a"), ""]
    )
    assert len(native(config).servers) == 3
