"""What a page shows is what a configuration says: nothing in it counts as Markdown."""

import pytest
from hypothesis import given

from proxy.cli.explain_markdown import escaped, markdown
from proxy.config.spec import Config
from proxy.routing.description import describe
from tests.config.configs import configs
from tests.routing.written import PATIENT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("premium_users", "premium_users"),
        ("_a_", r"\_a\_"),
        ("*a* `b` [c](d) <e> #f | ~g~", r"\*a\* \`b\` \[c\](d) \<e\> \#f \| \~g\~"),
        ("a\nb", r"a\\x0ab"),
    ],
)
def test_marks_are_escaped_where_they_would_count(text: str, shown: str) -> None:
    assert escaped(text) == shown


@PATIENT
@given(configs())
def test_whatever_names_there_are_each_rule_has_one_heading(config: Config) -> None:
    lines = markdown(describe(config), ["a.yaml"]).split("\n")
    rules = sum(len(route.rules) for route in config.routes)
    assert sum(line.startswith("**Status**: ") for line in lines) == rules
    headings = sum(line.startswith("### ") for line in lines)
    assert headings == rules + len(config.servers)
    assert all(line.isprintable() for line in lines)
