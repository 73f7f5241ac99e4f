"""A decision is told with what Mixtrain tells, and more."""

import io

from hypothesis import given
from rich.console import Console

from proxy.cli.decision_text import MOST_VERDICTS, decision_json, models, print_decision
from proxy.cli.printing import Page, to_json
from proxy.config.match_spec import Exact, HeaderCondition, Match
from proxy.config.spec import Config, ModelServer, Route, Rule, Shadow, Target
from proxy.routing.compiler import compile_table
from proxy.routing.decision import Decision, SentModel, decide
from proxy.routing.sample import SampleRequest, sample_of
from tests.config.configs import configs
from tests.routing.test_decision import REQUESTS
from tests.routing.written import PATIENT


def printed(decision: Decision, *, verbose: bool = False) -> str:
    output = io.StringIO()
    print_decision(Page(Console(file=output, highlight=False)), decision, None, verbose=verbose)
    return output.getvalue()


def decision_of(*rules: Rule, kind: str = "route") -> Decision:
    config = Config({"s": ModelServer("s", ())}, (Route("r", rules, kind=kind),))
    return decide(compile_table(config), sample_of({"model": "m"}), config.servers)


@PATIENT
@given(configs(), REQUESTS)
def test_any_decision_can_be_told(config: Config, request: SampleRequest) -> None:
    decision = decide(compile_table(config), request, config.servers)
    for verbose in (True, False):
        text = printed(decision, verbose=verbose)
        assert text.startswith("✓ Matched Rule: " if decision.matched else "✗ No rules matched\n")
        assert text.replace("\n", "").isprintable()
    assert to_json(decision_json(decision, None))


def test_the_names_that_are_sent_have_shares_where_there_are_several() -> None:
    assert models((SentModel("a"),)) == "a"
    assert models((SentModel(None),)) == "-"
    assert models((SentModel("a", 0.7), SentModel("b", 0.3))) == "a 70%, b 30%"


def test_many_rules_that_do_not_match_are_counted() -> None:
    match = (Match((HeaderCondition("x", Exact("y")),)),)
    rules = [Rule(f"rule-{number}", (Target("s"),), match) for number in range(MOST_VERDICTS + 2)]
    decision = decision_of(*rules, Rule("last", (Target("s"),)))
    text = printed(decision)
    assert text.count("(it is absent)") == MOST_VERDICTS
    assert text.endswith("  and 2 more rules (--verbose tells all)\n")
    assert printed(decision, verbose=True).count("(it is absent)") == MOST_VERDICTS + 2


def test_what_a_rule_says_of_itself_is_told_and_what_is_turned_off() -> None:
    off = Rule("off", (Target("s"),), enabled=False)
    on = Rule("on", (Target("s"),), description="For all", shadow=Shadow(Target("s")))
    text = printed(decision_of(off, on, kind="Mixtrain"))
    assert "Route: r (Mixtrain)\nRule: on\nDescription: For all\n" in text
    assert "\n  shadow  s " in text
    assert "\nDisabled\n  r/off\n" in text


def test_no_rule_at_all_is_told() -> None:
    decision = decide(compile_table(Config({}, ())), sample_of(None))
    assert printed(decision, verbose=True).endswith("Rules tried\n  none\n")
