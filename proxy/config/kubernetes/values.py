"""What resources that configure models have in common: two forms of a kind, references, labels, durations, switches."""

import re
from dataclasses import dataclass
from fractions import Fraction

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import Resource
from proxy.config.problems import Problems
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode, described, shown
from proxy.config.values.fields import Fields
from proxy.config.values.kinds import Kind, alternatives, boolean, duration_or_zero, mismatch, name, text, text_map
from proxy.config.values.units import LONGEST_SECONDS

HIGHEST_PORT = 65_535

_FILE_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,253}")
_OF_A_FILE_NAME = "such a name has letters, digits, -, _ and ."

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")

# https://pkg.go.dev/time#ParseDuration; the two signs for micro are different characters.
_GO_DURATION = re.compile(r"\+?(?:(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+")
_GO_PART = re.compile(r"([0-9.]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_GO_SECONDS = {
    "ns": Fraction(1, 1_000_000_000),
    "us": Fraction(1, 1_000_000),
    "\u00b5s": Fraction(1, 1_000_000),
    "\u03bcs": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1_000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3_600),
}


@dataclass(frozen=True, slots=True)
class Form:
    """One of the forms that a kind is written in, told by any of its keys."""

    keys: tuple[str, ...]


def form_of(resource: Resource, spec: MappingNode, forms: tuple[Form, Form], problems: Problems) -> Form | None:
    """The form that a spec has; None where it has none or is a mixture (which has then been told)."""
    given = [(key, form) for key in spec.entries for form in forms if key in form.keys]
    if not given:
        _tell_no_form(resource, spec, forms, problems)
        return None
    first, found = given[0]
    stranger = next((key for key, form in given if form is not found), None)
    if stranger is None:
        return found
    message = (
        f"a mixture of two forms: {shown(stranger)} does not go together with {shown(first)}; a {resource.kind} is "
        f"written with {' or with '.join(alternatives(form.keys) for form in forms)}, not with both"
    )
    problems.error(spec.key_place(stranger), Code.CONFLICTING_KEYS, message)
    return None


def _tell_no_form(resource: Resource, spec: MappingNode, forms: tuple[Form, Form], problems: Problems) -> None:
    with Fields(spec, problems, strict=False) as fields:
        for key in (key for form in forms for key in form.keys):
            fields.node_of(key)
    expected = ", or ".join(alternatives(form.keys) for form in forms)
    problems.error(spec.place, Code.MISSING_KEY, f"the spec of a {resource.kind} says nothing: expected {expected}")


# --- names and references ---------------------------------------------------------------------------------------------


def declare(kind: str, key: str, resource: Resource, assembly: Assembly) -> bool:
    """A resource is a server or a route of this name; False (and told) where the name is taken."""
    return assembly.declare(kind, key, resource.place, hidden=_comes_from_a_variable(resource))


def _comes_from_a_variable(resource: Resource) -> bool:
    metadata = resource.node.entries.get("metadata")
    entries = metadata.entries if isinstance(metadata, MappingNode) else {}
    return any(isinstance(node := entries.get(key), ScalarNode) and node.hidden for key in ("name", "namespace"))


@dataclass(frozen=True, slots=True)
class Referral:
    """A reference to a resource, and where its name stands."""

    namespace: str
    name: str
    place: Place

    def follow(self, kind: str, prefix: str, assembly: Assembly) -> str:
        """The server's key, remembered so that it can be followed when all files are read."""
        key = f"{prefix}{self.namespace}/{self.name}"
        said = assembly.problems.said(f"{self.namespace}/{self.name}")
        assembly.refer(key, self.place, f"the {kind} {said}", optional=True)
        return key


def read_referral(fields: Fields, namespace: str) -> Referral | None:
    """A reference by name, and by namespace where it is not the one that it stands in."""
    found = fields.require("name", name)
    other = fields.get("namespace", optional_name) or namespace
    return None if found is None else Referral(other, found, fields.node.entries["name"].place)


def optional_name(node: Node, problems: Problems) -> str | None:
    """A name, or an empty text where there is none: what Go calls a zero value."""
    return "" if isinstance(node, ScalarNode) and node.value == "" else name(node, problems)


def secret_of(namespace: str) -> Kind[str]:
    """A secret of this namespace, as "namespace/name"."""

    def read(node: Node, problems: Problems) -> str | None:
        found = name(node, problems)
        if found is None:
            return None
        # Both become folders of the secrets directory.
        if _FILE_NAME.fullmatch(found) and _FILE_NAME.fullmatch(namespace):
            return f"{namespace}/{found}"
        message = f"{described(node)} in the namespace {problems.said(namespace)} is no secret: {_OF_A_FILE_NAME}"
        problems.error(node.place, Code.BAD_VALUE, message)
        return None

    return read


def secret_key(node: Node, problems: Problems) -> str | None:
    """A key of a secret, which is a file's name there."""
    found = name(node, problems)
    if found is None or _FILE_NAME.fullmatch(found):
        return found
    problems.error(node.place, Code.BAD_VALUE, f"{described(node)} is no key of a secret: {_OF_A_FILE_NAME}")
    return None


# --- values -----------------------------------------------------------------------------------------------------------


def go_duration(node: Node, problems: Problems) -> float | None:
    """Seconds, written as Go does ("1m30s", "1.5h", "100ms") or as the native form does; 0 stands for no limit."""
    written = node.text if isinstance(node, ScalarNode) else ""
    if not _GO_DURATION.fullmatch(written):
        return duration_or_zero(node, problems)
    seconds = sum((Fraction(number) * _GO_SECONDS[unit] for number, unit in _GO_PART.findall(written)), Fraction(0))
    if seconds > LONGEST_SECONDS:
        mismatch(node, problems, "a duration of at most 366 days")
        return None
    return float(seconds)


def labels(node: Node, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """At least one label."""
    if isinstance(node, MappingNode) and not node.entries:
        mismatch(node, problems, "at least one label")
        return None
    before = problems.errors
    found = text_map(node, problems)
    if found is None or not isinstance(node, MappingNode):
        return None
    for key, value in found:
        _check_label_name(node.key_place(key), shown(key), key, problems)
        if value and not _LABEL_NAME.fullmatch(value):
            said = described(node.entries[key])
            problems.error(node.entries[key].place, Code.BAD_VALUE, f"{said} is no label's value: {_OF_A_LABEL}")
    return found if problems.errors == before else None


def label_name(node: Node, problems: Problems) -> str | None:
    """A label's name, such as app or modelserving.volcano.sh/group-name."""
    found = text(node, problems)
    if found is not None and not _check_label_name(node.place, described(node), found, problems):
        return None
    return found


_OF_A_LABEL = "it has at most 63 letters, digits, -, _ and . and begins and ends with a letter or a digit"


def _check_label_name(place: Place, said: str, key: str, problems: Problems) -> bool:
    prefix, slash, last = key.rpartition("/")
    if _LABEL_NAME.fullmatch(last) and (not slash or _LABEL_PREFIX.fullmatch(prefix)):
        return True
    message = f"{said} is no label's name: {_OF_A_LABEL}, with a domain and / before it where it has one"
    problems.error(place, Code.BAD_VALUE, message)
    return False


def check_most(node: ListNode, most: int, what: str, problems: Problems) -> None:
    """Tell of a list that is longer than its kind allows."""
    if len(node.items) > most:
        problems.error(node.place, Code.BAD_VALUE, f"at most {most} {what}, found {len(node.items)}")


def is_on(fields: Fields) -> bool:
    """Whether a section's `enabled` says true. One that does not mention it is off, which is told."""
    on = fields.get("enabled", boolean)
    if fields.filled("enabled") is None and fields.node.entries:
        message = "this section is off, as it does not say enabled: true"
        fields.problems.warning(fields.place, Code.WITHOUT_EFFECT, message)
    return on is True
