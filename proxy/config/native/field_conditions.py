"""The reader of conditions on the request's data: a field, an operator and the value that it compares with."""

from json import dumps

from proxy.config.codes import Code
from proxy.config.match_spec import FieldCondition
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, ScalarNode, described, plain
from proxy.config.values.conditions import pattern_fault
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import member
from proxy.config.values.names import prose
from proxy.operators import Operator

# What JSON can say.

_WITHOUT_VALUE = frozenset({Operator.EXISTS, Operator.NOT_EXISTS})
_WITH_LIST = frozenset({Operator.IN, Operator.NOT_IN})
_WITH_NUMBER = frozenset({Operator.GREATER_THAN, Operator.LESS_THAN})


def read_field_condition(node: Node, problems: Problems) -> FieldCondition | None:
    """A mapping with field, operator and value; `exists` and `not_exists` need no value."""
    fields = fields_of(node, problems, "a mapping with field, operator, value")
    if fields is None:
        return None
    with fields:
        field = fields.require("field", _path)
        operator = fields.require("operator", member(Operator))
        value = fields.node_of("value")
    if operator is None:
        return None
    if value is None:
        value = _absent_value(fields, operator)
    if field is None or value is None or not _is_fit(value, operator, problems):
        return None
    return FieldCondition(field, operator, dumps(plain(value), ensure_ascii=False))


def _path(node: Node, problems: Problems) -> str | None:
    """Keys with dots between them. No key is out of bounds, as a body may have any."""
    found = prose(node, problems)
    if found is not None and not found.strip():
        problems.error(node.place, Code.BAD_VALUE, "a field's name that is empty")
        return None
    return found


def _absent_value(fields: Fields, operator: Operator) -> Node | None:
    if operator in _WITHOUT_VALUE:
        return ScalarNode(fields.place, "null", None)
    fields.required("value")
    return None


def _is_fit(node: Node, operator: Operator, problems: Problems) -> bool:
    """The value is one that the operator can compare with; otherwise what is wrong is told."""
    if _is_faulty(node):
        return False
    expected = _expected(node, operator)
    if expected is not None:
        problems.error(node.place, Code.WRONG_TYPE, f"expected {expected}, found {described(node)}")
        return False
    fault = pattern_fault(str(plain(node))) if operator is Operator.REGEX else None
    if fault is not None:
        hidden = not isinstance(node, ScalarNode) or node.hidden
        said = f"{described(node)} is no pattern that RE2 accepts" + ("" if hidden else f": {fault}")
        problems.error(node.place, Code.BAD_PATTERN, said)
    return fault is None


def _expected(node: Node, operator: Operator) -> str | None:
    """What the operator needs instead of this value; None where it will do."""
    if isinstance(node, MappingNode):
        return "a value or a list"
    if operator in _WITH_LIST and not isinstance(node, ListNode):
        return f"a list for the operator {operator.value}"
    if operator in _WITH_NUMBER and not _is_number(node):
        return f"a number for the operator {operator.value}"
    if operator is Operator.REGEX and isinstance(node, ScalarNode) and node.value is None:
        return "a pattern"
    return None


def _is_number(node: Node) -> bool:
    """Whether Python's float() takes it, which the operators ask: also a text that spells a number."""
    try:
        return isinstance(node, ScalarNode) and node.value is not None and float(node.value) is not None
    except ValueError:
        return False


def _is_faulty(node: Node) -> bool:
    """A variable in it is not set, which has been told."""
    match node:
        case ScalarNode():
            return node.faulty
        case ListNode():
            return any(_is_faulty(item) for item in node.items)
        case MappingNode():
            return any(_is_faulty(item) for item in node.entries.values())
