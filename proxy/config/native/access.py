"""Readers of what a native server shows, where its own service listens, and how many requests it may have at once."""

import re

from proxy.config.access_spec import Queueing
from proxy.config.codes import Code
from proxy.config.kubernetes.values import secret_key
from proxy.config.match_spec import ValueTest
from proxy.config.native.parts import port
from proxy.config.problems import Problems
from proxy.config.spec import Credential, EndpointSpec, ServiceListener
from proxy.config.text.nodes import MappingNode, Node, ScalarNode, quoted, shown
from proxy.config.values.conditions import read_path_test
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import choice, duration, existing_file, full_name, listed, whole

CREDENTIAL_SCHEMES = ("Bearer", "APIKey", "x-api-key")
MOST_AT_ONCE = 1_000_000
LONGEST_KEY = 16 * 1024  # bytes, as of a key in a file
_QUEUEING = Queueing()
_NO_PATHS = ServiceListener(0).paths

# Its parts become folders of the secrets directory.
_SECRET = re.compile(r"(?:(?!\.\.?(?:/|\Z))[^/]+/)+(?!\.\.?\Z)[^/]+")
# RFC 9110 section 5.5, and of what is not ASCII nothing: it is read differently by everybody.
_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


# --- what is shown to the engines -------------------------------------------------------------------------------------


def read_credential(fields: Fields) -> Credential | None:
    """What the proxy shows to the engines: a key as it is, in a file, or in a secret."""
    fields.exclusive(("api_key", "api_key_file", "credential"))
    value = fields.get("api_key", _read_key)
    file = fields.get("api_key_file", existing_file)
    secret = fields.get("credential", _read_secret)
    if value is not None:
        return Credential(value=value)
    return secret if file is None else Credential(file=file)


def check_shown_once(fields: Fields, headers: tuple[tuple[str, str], ...], credential: Credential | None) -> None:
    """A header that the server sets is not that of its key, too."""
    node = fields.filled("headers")
    if credential is None or not isinstance(node, MappingNode):
        return
    shown_in = "authorization" if credential.scheme == CREDENTIAL_SCHEMES[0] else "x-api-key"
    for key, _ in headers:
        if key.lower() == shown_in:
            message = f"the header {shown(key)} is that of this server's key, so it cannot be set as well"
            fields.problems.error(node.key_place(key), Code.CONFLICTING_KEYS, message)


def _read_key(node: Node, problems: Problems) -> str | None:
    """A key, which no message shows."""
    if not isinstance(node, ScalarNode) or not (isinstance(node.value, str) or node.hidden):
        advice = " (put it in quotes)" if isinstance(node, ScalarNode) else ""
        problems.error(node.place, Code.WRONG_TYPE, f"expected an API key as a text{advice}")
        return None
    if len(node.text) > LONGEST_KEY or not _FIELD_VALUE.fullmatch(node.text):
        message = f"expected an API key: at most {LONGEST_KEY} visible ASCII characters"
        problems.error(node.place, Code.BAD_VALUE, message)
        return None
    if not node.hidden:
        message = "whoever reads this file knows the key: put it in a file of its own (api_key_file) or a variable"
        problems.hint(node.place, Code.EXPOSED_KEY, message)
    return node.text


def _read_secret(node: Node, problems: Problems) -> Credential | None:
    fields = fields_of(node, problems, "a mapping with secret, key, scheme")
    if fields is None:
        return None
    with fields:
        secret = fields.require("secret", secret_name)
        key = fields.require("key", secret_key)
        scheme = fields.get("scheme", choice(CREDENTIAL_SCHEMES), CREDENTIAL_SCHEMES[0])
    return None if secret is None or key is None else Credential(secret=secret, key=key, scheme=scheme)


def secret_name(node: Node, problems: Problems) -> str | None:
    """A secret as "namespace/name"."""
    found = full_name(node, problems)
    if found is None or not isinstance(node, ScalarNode) or _SECRET.fullmatch(found):
        return found
    message = f"{quoted(node)} is no secret: write its namespace and its name, as in default/engine-key"
    problems.error(node.place, Code.BAD_VALUE, message)
    return None


# --- where its service listens ----------------------------------------------------------------------------------------


def read_listener(node: Node, problems: Problems) -> ServiceListener | None:
    """The port that a server's own service listens on, and the paths that are served there."""
    fields = fields_of(node, problems, "a mapping with port, tls_secret, path or paths")
    if fields is None:
        return None
    with fields:
        number = fields.require("port", port)
        secret = fields.get("tls_secret", secret_name)
        paths = _read_paths(fields)
    return None if number is None else ServiceListener(number, secret, paths)


def _read_paths(fields: Fields) -> tuple[ValueTest, ...]:
    """A single one under `path`, or several under `paths`; without any, all are served."""
    fields.exclusive(("path", "paths"))
    single = fields.filled("path")
    if single is None:
        return fields.get("paths", listed(read_path_test), _NO_PATHS)
    fields.node_of("paths")
    test = read_path_test(single, fields.problems)
    return _NO_PATHS if test is None else (test,)


# --- how many at once -------------------------------------------------------------------------------------------------


def read_queueing(fields: Fields, endpoints: tuple[EndpointSpec, ...]) -> Queueing | None:
    """How many requests may be in flight and wait; None where nothing bounds them."""
    queueing = Queueing(
        max_in_flight=fields.get("max_in_flight", whole(1, MOST_AT_ONCE)),
        per_endpoint=fields.get("max_in_flight_per_endpoint", whole(1, MOST_AT_ONCE)),
        max_pending=fields.get("max_pending", whole(0, MOST_AT_ONCE), _QUEUEING.max_pending),
        timeout=fields.get("queue_timeout", duration, _QUEUEING.timeout),
    )
    bounded = queueing.max_in_flight is not None or queueing.per_endpoint is not None
    if bounded or any(endpoint.max_in_flight is not None for endpoint in endpoints):
        _check_timeout(fields, queueing)
        return queueing
    bounds = [fields.filled(key) for key in ("max_in_flight", "max_in_flight_per_endpoint")]
    for key in ("max_pending", "queue_timeout"):
        node = fields.filled(key)
        if node is not None and not any(bounds):
            message = f"{key} has no effect: without max_in_flight no request ever waits"
            fields.problems.warning(node.place, Code.WITHOUT_EFFECT, message)
    return None


def _check_timeout(fields: Fields, queueing: Queueing) -> None:
    node = fields.filled("queue_timeout")
    if node is not None and queueing.max_pending == 0 and fields.filled("max_pending") is None:
        message = "queue_timeout has no effect: without max_pending no request ever waits"
        fields.problems.warning(node.place, Code.WITHOUT_EFFECT, message)
