"""ExternalModelProvider of Kthena: an API of somebody else's, such as OpenAI's, as a server with one endpoint."""

import re

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import declare, optional_name, secret_key, secret_of
from proxy.config.problems import Problems
from proxy.config.spec import Credential, EndpointSpec, Engine, ModelServer, UpstreamTls
from proxy.config.text.nodes import MappingNode, Node, ScalarNode, described, shown
from proxy.config.values.addresses import EndpointUrl, base_url
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import header_map
from proxy.config.values.kinds import Kind, boolean, choice
from proxy.config.values.policies import WIDEST_TIMEOUTS

_TYPES = ("OpenAI", "Anthropic")
_SCHEMES = {"OpenAI": "Bearer", "Anthropic": "APIKey"}
# Beside the headers that nobody may set: those that carry a credential.
_RESERVED = frozenset({"authorization", "cookie", "x-api-key"})
# RFC 9110 5.5, and of what is not ASCII nothing: it is read differently by everybody.
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_API = "/v1"


def read_provider(resource: Resource, assembly: Assembly) -> None:
    """Add an ExternalModelProvider to the assembly."""
    key = f"provider/{resource.key}"
    declare("server", key, resource, assembly)
    if resource.spec is None:
        return
    with Fields(resource.spec, assembly.problems, strict=False) as fields:
        kind = fields.get("providerType", choice(_TYPES), "OpenAI")
        server = ModelServer(
            name=key,
            endpoints=_read_endpoints(fields),
            engine=Engine.OPENAI,
            model=fields.get("model", optional_name) or None,
            timeouts=WIDEST_TIMEOUTS,
            tls=UpstreamTls(verify=False) if fields.get("insecureSkipVerify", boolean) else None,
            headers=fields.get("headers", _read_headers, ()),
            credential=fields.get("auth", _credential(resource.namespace, _SCHEMES[kind])),
            origin=resource.place.origin(),
        )
    assembly.add_server(server)


# --- where ------------------------------------------------------------------------------------------------------------


def _read_endpoints(fields: Fields) -> tuple[EndpointSpec, ...]:
    url = fields.require("baseURL", _read_base)
    if url is None:
        return ()
    scheme, host, port, path = url
    return (EndpointSpec(scheme, host, port, path.removesuffix(_API)),)


def _read_base(node: Node, problems: Problems) -> EndpointUrl | None:
    """The URL that stands before an API's own paths: with its version, as /v1, or with none."""
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and not node.text.lower().startswith("https://"):
        problems.error(
            node.place, Code.BAD_ADDRESS, f"expected a URL that begins with https://, found {described(node)}"
        )
        return None
    url = base_url(node, problems)
    if url is not None and url[3] and not url[3].endswith(_API):
        _tell_version(node, url[3], problems)
    return url


def _tell_version(node: Node, path: str, problems: Problems) -> None:
    """A client's path has a version of its own, which cannot be taken away here."""
    base = "…" if isinstance(node, ScalarNode) and node.hidden else path
    message = (
        f"this base does not end in {_API}, and clients' paths begin with it: {_API}/chat/completions will be asked "
        f"for as {shown(f'{base}{_API}/chat/completions')}, not as {shown(f'{base}/chat/completions')}"
    )
    problems.warning(node.place, Code.BAD_ADDRESS, message)


# --- what is shown ----------------------------------------------------------------------------------------------------


def _read_headers(node: Node, problems: Problems) -> tuple[tuple[str, str], ...] | None:
    """Headers to be set on each request."""
    found = header_map(node, problems)
    if found is None or not isinstance(node, MappingNode):
        return None
    for key, value in found:
        if key.lower() in _RESERVED:
            message = f"the header {shown(key)} is reserved: credentials are given under auth"
            problems.error(node.key_place(key), Code.BAD_VALUE, message)
        elif value != value.strip() or not _HEADER_VALUE.fullmatch(value):
            message = f"the value of {shown(key)} holds more than printable ASCII, or a space at an end"
            problems.error(node.entries[key].place, Code.BAD_VALUE, message)
    return found


def _credential(namespace: str, scheme: str) -> Kind[Credential]:
    """The key that the provider asks for; `scheme` is the one that it uses where none is given."""

    def read(node: Node, problems: Problems) -> Credential | None:
        fields = fields_of(node, problems, "a mapping with scheme and secretRef", strict=False)
        if fields is None:
            return None
        with fields:
            chosen = fields.get("scheme", choice(_SCHEMES.values()), scheme)
            found = fields.require("secretRef", _secret(namespace))
        if found is None:
            return None
        secret, key = found
        return Credential(secret=secret, key=key, scheme=chosen)

    return read


def _secret(namespace: str) -> Kind[tuple[str, str]]:
    """A secret, and the key in it."""

    def read(node: Node, problems: Problems) -> tuple[str, str] | None:
        fields = fields_of(node, problems, "a mapping with name and key", strict=False)
        if fields is None:
            return None
        with fields:
            found, key = fields.require("name", secret_of(namespace)), fields.require("key", secret_key)
            if fields.get("optional", boolean):
                place = fields.node.entries["optional"].place
                problems.error(place, Code.BAD_VALUE, "a provider's secret cannot be optional")
        return None if found is None or key is None else (found, key)

    return read
