"""Kthena's ExternalModelProvider: an API of somebody else's as a server with one endpoint."""

import pytest

from proxy.config.spec import Credential, EndpointSpec, Engine, ModelServer, UpstreamTls
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.errors import Severity
from tests.config.model_resources import KTHENA, document, load, only_error, only_problem, problems, server


def written(more: str = "", base: str = "https://api.example.com/v1") -> str:
    return document("ExternalModelProvider", f"{{baseURL: '{base}'{more and ', ' + more}}}")


def provider(more: str = "", base: str = "https://api.example.com/v1") -> ModelServer:
    return server(written(more, base), "provider/ns/r")


def test_a_provider_is_a_server_with_one_endpoint_and_every_default() -> None:
    found = provider()
    assert found == ModelServer(
        "provider/ns/r",
        (EndpointSpec("https", "api.example.com", 443),),
        engine=Engine.OPENAI,
        timeouts=WIDEST_TIMEOUTS,
        origin=found.origin,
    )
    assert found.origin.path == "metadata.name"


def test_a_provider_says_everything_about_itself() -> None:
    found = provider("providerType: Anthropic, model: haiku, insecureSkipVerify: true, headers: {X-Team: a, y: '1'}")
    assert (found.model, found.tls) == ("haiku", UpstreamTls(verify=False))
    assert found.headers == (("X-Team", "a"), ("y", "1"))


@pytest.mark.parametrize("more", ["insecureSkipVerify: false", "model: ''", "providerType: OpenAI", "headers: {}"])
def test_what_says_nothing_changes_nothing(more: str) -> None:
    assert provider(more) == provider()


@pytest.mark.parametrize(
    ("base", "endpoint"),
    [
        ("https://api.x.com", EndpointSpec("https", "api.x.com", 443)),
        ("https://api.x.com/", EndpointSpec("https", "api.x.com", 443)),
        ("https://api.x.com/v1", EndpointSpec("https", "api.x.com", 443)),
        ("https://api.x.com/v1/", EndpointSpec("https", "api.x.com", 443)),
        ("https://api.x.com:8443/openai/v1", EndpointSpec("https", "api.x.com", 8443, "/openai")),
    ],
)
def test_a_client_s_path_follows_the_base_and_its_version_stands_once(base: str, endpoint: EndpointSpec) -> None:
    assert provider(base=base).endpoints == (endpoint,)
    assert not problems(written(base=base))


@pytest.mark.parametrize("base", ["https://x.com/openai", "https://x.com/av1", "https://x.com/v1beta/openai"])
def test_a_base_with_another_version_is_told_with_what_will_be_asked_for(base: str) -> None:
    path = base.removeprefix("https://x.com")
    assert provider(base=base).endpoints == (EndpointSpec("https", "x.com", 443, path),)
    problem = only_problem(written(base=base))
    assert (problem.code, problem.severity, problem.path) == ("PS122", Severity.WARNING, "spec.baseURL")
    assert f"as '{path}/v1/chat/completions', not as '{path}/chat/completions'" in problem.message


def test_a_base_from_a_variable_is_never_shown() -> None:
    assert "hunter2" not in only_problem(written(base="${BASE}"), BASE="https://x.com/hunter2").message


@pytest.mark.parametrize(
    ("auth", "credential"),
    [
        ("{secretRef: {name: s, key: k}}", Credential(secret="ns/s", key="k", scheme="Bearer")),
        (
            "{scheme: APIKey, secretRef: {name: s, key: k, optional: false}}",
            Credential(secret="ns/s", key="k", scheme="APIKey"),
        ),
    ],
)
def test_a_credential_is_kept(auth: str, credential: Credential) -> None:
    text = written(f"auth: {auth}")
    assert server(text, "provider/ns/r").credential == credential
    assert not problems(text)


@pytest.mark.parametrize(("kind", "scheme"), [("OpenAI", "Bearer"), ("Anthropic", "APIKey")])
def test_each_type_has_a_scheme_of_its_own(kind: str, scheme: str) -> None:
    found = provider(f"providerType: {kind}, auth: {{secretRef: {{name: s, key: k}}}}")
    assert found.credential == Credential(secret="ns/s", key="k", scheme=scheme)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "X-API-Key",
        "Host",
        "Content-Length",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Transfer-Encoding",
        "Upgrade",
        "Trailer",
        "TE",
    ],
)
def test_a_reserved_header_is_told(header: str) -> None:
    for spelled in (header, header.lower()):
        problem = only_problem(written(f"headers: {{{spelled}: a}}"))
        expected = ("PS120", Severity.ERROR, f"spec.headers.{spelled}")
        assert (problem.code, problem.severity, problem.path) == expected
        assert f"the header '{spelled}'" in problem.message


@pytest.mark.parametrize(
    ("more", "code", "path", "words"),
    [
        ("providerType: openai", "PS120", "providerType", "OpenAI or Anthropic, found 'openai'"),
        ("model: 5", "PS110", "model", "put it in quotes"),
        (f"model: {'m' * 257}", "PS120", "model", "longer than 256"),
        ("insecureSkipVerify: 1", "PS110", "insecureSkipVerify", "true or false"),
        ("headers: [a]", "PS110", "headers", "a mapping of texts"),
        ("headers: {a b: c}", "PS120", "headers['a b']", "cannot be the name of a header"),
        ("headers: {a: [b]}", "PS110", "headers.a", "a text, found a list"),
        ("headers: {a: é}", "PS120", "headers.a", "printable ASCII"),
        ("headers: {a: ' b'}", "PS120", "headers.a", "a space at an end"),
        ("headers: {a: b, A: b}", "PS102", "headers.A", "already given"),
        ("auth: token", "PS110", "auth", "a mapping with scheme and secretRef"),
        ("auth: {}", "PS112", "auth", "'secretRef' is missing"),
        ("auth: {secretRef: a}", "PS110", "auth.secretRef", "a mapping with name and key"),
        ("auth: {secretRef: {key: k}}", "PS112", "auth.secretRef", "'name' is missing"),
        ("auth: {secretRef: {name: s}}", "PS112", "auth.secretRef", "'key' is missing"),
        (
            "auth: {secretRef: {name: s, key: k, optional: true}}",
            "PS120",
            "auth.secretRef.optional",
            "cannot be optional",
        ),
        (
            "auth: {secretRef: {name: ../s, key: k}}",
            "PS120",
            "auth.secretRef.name",
            "'../s' in the namespace 'ns' is no",
        ),
        ("auth: {secretRef: {name: .., key: k}}", "PS120", "auth.secretRef.name", "is no secret"),
        ("auth: {secretRef: {name: s, key: a/b}}", "PS120", "auth.secretRef.key", "'a/b' is no key of a secret"),
        ("auth: {secretRef: {name: s, key: .}}", "PS120", "auth.secretRef.key", "is no key of a secret"),
        ("auth: {scheme: Basic, secretRef: {name: s, key: k}}", "PS120", "auth.scheme", "Bearer or APIKey"),
    ],
)
def test_a_slip_in_a_provider_is_told(more: str, code: str, path: str, words: str) -> None:
    problem = only_error(written(more))
    assert (problem.code, problem.line, problem.path) == (code, 4, f"spec.{path}")
    assert words in problem.message


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("http://api.x.com", "begins with https://"),
        ("api.x.com", "begins with https://"),
        ("", "begins with https://"),
        ("https://", "its host is missing"),
        ("https://u:p@api.x.com", "a user and password do not belong in it"),
        ("https://api.x.com/v1?a=b", "a query or a fragment"),
        ("https://api.x.com/v1#a", "a query or a fragment"),
    ],
)
def test_what_is_no_base_of_a_provider_is_told(base: str, words: str) -> None:
    problem = only_problem(written(base=base))
    assert (problem.code, problem.severity, problem.path) == ("PS122", Severity.ERROR, "spec.baseURL")
    assert words in problem.message


@pytest.mark.parametrize(("spec", "code"), [("{}", "PS112"), ("{baseURL: 5}", "PS110"), ("{baseURL: [a]}", "PS110")])
def test_a_provider_without_a_base_is_told(spec: str, code: str) -> None:
    problem = only_problem(document("ExternalModelProvider", spec))
    assert (problem.code, problem.severity) == (code, Severity.ERROR)


def test_a_provider_without_a_spec_is_told_once() -> None:
    text = f"apiVersion: {KTHENA}\nkind: ExternalModelProvider\nmetadata: {{name: r}}\n"
    assert "'spec' is missing" in only_problem(text).message


def test_a_route_leads_to_a_provider_of_its_namespace() -> None:
    spec = "{modelName: m, rules: [{targetModels: [{externalModelProviderName: r}]}]}"
    assert not load(written(), document("ModelRoute", spec)).problems


def test_a_provider_and_a_server_may_share_a_name() -> None:
    labels = "{inferenceEngine: vLLM, workloadSelector: {matchLabels: {app: a}}, workloadPort: {port: 1}}"
    assert not problems(written(), document("ModelServer", labels))


def test_a_name_is_given_once_in_a_namespace() -> None:
    problem = only_problem(written(), written())
    assert (problem.code, problem.line) == ("PS130", 8)
    assert "the server 'provider/ns/r' was already defined" in problem.message


def test_a_key_that_a_newer_version_may_know_is_a_warning() -> None:
    problem = only_problem(written("modle: m"))
    assert (problem.code, problem.severity, problem.suggestion) == ("PS111", Severity.WARNING, "model")
