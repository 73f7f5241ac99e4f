"""What JSON Schema says of values and mappings, made of one entry for each key that a reader knows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.config.values.units import LONGEST_SECONDS

Schema = dict[str, Any]

# A value that comes from a variable is a text to whoever only sees the file.
_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}"
_AMOUNT = r"[0-9]{1,20}(\.[0-9]{1,20})?"
_DURATION = rf" *({_AMOUNT}|({_AMOUNT}(us|µs|ms|s|m|h|d))+) *$"
_PERCENT = r"(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,9})?) ?%"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a mapping: what it may hold, in a line what it is for, and what is taken where it is left out.

    It may stand without a value, which is as if it were left out, unless it is required or filled.
    """

    name: str
    value: Schema
    meaning: str
    default: object = None
    required: bool = False
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A mapping whose keys are all known. `rules` are further terms, on several keys together."""

    name: str
    meaning: str
    keys: Sequence[Key]
    rules: Sequence[Schema] = ()

    def schema(self) -> Schema:
        """It and nothing else beside it."""
        made: Schema = {
            "type": "object",
            "description": self.meaning,
            "properties": {key.name: _described(key) for key in self.keys},
            "additionalProperties": False,
        }
        if required := [key.name for key in self.keys if key.required]:
            made["required"] = required
        if self.rules:
            made["allOf"] = list(self.rules)
        return made


def _described(key: Key) -> Schema:
    made: Schema = {"description": key.meaning}
    if key.default is not None:
        made["default"] = key.default
    return made | (key.value if key.required or key.filled else any_of(key.value, {"type": "null"}))


def definitions(forms: Iterable[Form]) -> dict[str, Schema]:
    """The forms by name, and what all of them refer to."""
    values = {
        "variable": {"type": "string", "pattern": _VARIABLE, "description": "An environment variable."},
        "boolean": any_of({"type": "boolean"}, variable()),
        "text_map": mapping_of({"type": ["string", "number", "boolean"]}),
        "duration": any_of(
            {"type": "string", "pattern": f"^(?=.*[1-9]){_DURATION}"},
            {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SECONDS},
            variable(),
        ),
        "duration_or_zero": any_of(
            {"type": "string", "pattern": f"^{_DURATION}"},
            {"type": "number", "minimum": 0, "maximum": LONGEST_SECONDS},
            variable(),
        ),
    }
    return {**{form.name: form.schema() for form in forms}, **values}


# --- values -----------------------------------------------------------------------------------------------------------


def ref(name: str) -> Schema:
    """What is defined under this name."""
    return {"$ref": f"#/$defs/{name}"}


def variable() -> Schema:
    """A text in which a variable stands."""
    return ref("variable")


def any_of(*schemas: Schema) -> Schema:
    """Any of these is enough."""
    flat: list[Schema] = []
    for schema in schemas:
        flat += schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
    return {"anyOf": [schema for place, schema in enumerate(flat) if schema not in flat[:place]]}


def text() -> Schema:
    """A text."""
    return {"type": "string"}


def name(longest: int = 256) -> Schema:
    """A text that is not empty."""
    return {"type": "string", "minLength": 1, "maxLength": longest}


def fitting(pattern: str) -> Schema:
    """A text that fits a pattern, or a variable that does."""
    return any_of({"type": "string", "pattern": pattern}, variable())


def words(known: Iterable[str]) -> Schema:
    """One of these words."""
    return any_of({"enum": list(known)}, variable())


def boolean() -> Schema:
    """true or false."""
    return ref("boolean")


def whole(lowest: int, highest: int) -> Schema:
    """A whole number within these bounds, both allowed."""
    return any_of({"type": "integer", "minimum": lowest, "maximum": highest}, variable())


def number(**bounds: float) -> Schema:
    """A number within bounds."""
    return any_of({"type": "number", **bounds}, variable())


def duration() -> Schema:
    """Seconds above zero, with a unit or without."""
    return ref("duration")


def duration_or_zero() -> Schema:
    """Seconds, with a unit or without."""
    return ref("duration_or_zero")


def size(least: int = 1) -> Schema:
    """Bytes, with a unit or without."""
    written = {"type": "string", "pattern": rf"^ *{_AMOUNT} ?[kKmMgGtT]?i?[bB]? *$"}
    return any_of(written, {"type": "integer", "minimum": least}, variable())


def share() -> Schema:
    """A part of the whole."""
    written = {"type": "string", "pattern": rf"^ *(0(\.[0-9]{{1,9}})?|1(\.0+)?|{_PERCENT}) *$"}
    return any_of(written, {"type": "number", "minimum": 0, "maximum": 1}, variable())


def listed(item: Schema, least: int = 0) -> Schema:
    """A list of such values."""
    return {"type": "array", "items": item, **({"minItems": least} if least else {})}


def one_or_more(item: Schema, least: int = 0) -> Schema:
    """A list of such values, or a single one."""
    return any_of(item, listed(item, least))


def mapping_of(item: Schema, keys: Schema | None = None) -> Schema:
    """Such values by free keys."""
    return {"type": "object", "additionalProperties": item, **({"propertyNames": keys} if keys else {})}


def text_map() -> Schema:
    """Texts by free keys; numbers and booleans are taken as they are written."""
    return ref("text_map")


def either(*keys: str) -> Schema:
    """At least one of these keys has a value."""
    return {"anyOf": [_given(key) for key in keys]}


def _given(key: str) -> Schema:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def switched_on(key: str) -> Schema:
    """This switch is on, or a variable says whether it is."""
    return {"required": [key], "properties": {key: any_of({"const": True}, variable())}}


def needs(key: str, other: str) -> Schema:
    """Where one key has a value, so has another."""
    return {"anyOf": [{"properties": {key: {"type": "null"}}}, _given(other)]}


def exactly_one(keys: Iterable[str]) -> Schema:
    """One of these keys is given, and only one."""
    return {"oneOf": [{"required": [key]} for key in keys]}


def at_most_one(*keys: str) -> Schema:
    """These keys do not stand together."""
    return {"not": {"required": list(keys)}}


def together(one: str, other: str) -> Schema:
    """Both of these keys have a value, or none has."""
    neither = {"properties": {one: {"type": "null"}, other: {"type": "null"}}}
    return {"anyOf": [{"allOf": [_given(one), _given(other)]}, neither]}


def where(key: str, values: Sequence[object], then: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """Where a key has one of these values, other keys are as said."""
    condition: Schema = {"properties": {key: {"enum": list(values)}}, "required": [key]}
    consequence: Schema = {"properties": dict(then), "required": list(required)}
    return {"if": condition, "then": consequence}
