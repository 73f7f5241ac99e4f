"""The README tells the truth: its samples load, and its tables name what the code has, no more and no less."""

import ast
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.testing import CliRunner

from proxy.access.authenticator import Authenticator
from proxy.access.key_file import read_key_text
from proxy.access.keys import digest_of
from proxy.cli.main import COMMANDS, build, load_command
from proxy.config.codes import Code
from proxy.config.loader import load_texts
from proxy.config.problems import Problems
from proxy.config.settings import load_settings, load_settings_text
from proxy.config.settings_spec import Settings
from proxy.config.spec import Config
from proxy.errors import Problem, RequestError, Severity, UpstreamError, UpstreamFailure
from proxy.forwarding.exchange import Attempt, Exchange, FailedLink
from proxy.forwarding.journey import as_request_error
from proxy.runtime.reload import Outcome
from proxy.telemetry.access_log import JsonLines, TextLines
from proxy.telemetry.exposition import ControlFacts, ReportCollector
from proxy.wire.error_body import error_document
from tests.access.heads import bearer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
STRANGER = "zzzzzzzz"  # near no key, so that the problem lists all that are known


# --- the README's parts -----------------------------------------------------------------------------------------------


def section(heading: str) -> str:
    """The text below a heading, to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {heading!r}"
    return found[1]


def rows(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose first column has this head."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(f"| {head} |")), len(lines))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def quoted(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def named(text: str, head: str) -> list[str]:
    """What the first column of a table names."""
    return [name for row in rows(text, head) for name in quoted(row[0])]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


# --- samples ----------------------------------------------------------------------------------------------------------


# Parts of the samples in config/, which are shown under their file's name.
EXCERPTS = [block for block in blocks("yaml") if block.startswith("# config/")]
(KEY_FILE,) = (block for block in blocks("yaml") if block.startswith("# keys.yaml"))
SAMPLES = [block for block in blocks("yaml") if block not in {*EXCERPTS, KEY_FILE}]
ROUTE_SAMPLES = [block for block in SAMPLES if "servers:" in block]
SETTINGS_SAMPLES = [block for block in SAMPLES if "servers:" not in block]


def test_the_readme_has_samples_of_both_kinds() -> None:
    assert len(ROUTE_SAMPLES) >= 3
    assert SETTINGS_SAMPLES


@pytest.mark.parametrize("sample", ROUTE_SAMPLES)
def test_a_sample_of_routes_has_no_problem(sample: str, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(KEY_FILE)
    loaded = load_texts({str(tmp_path / "README.yaml"): sample})
    assert loaded.problems == ()
    assert loaded.config is not None


@pytest.mark.parametrize("sample", SETTINGS_SAMPLES)
def test_a_sample_of_settings_has_no_problem(sample: str, tmp_path: Path) -> None:
    for name in re.findall(r"[\w/-]+\.pem", sample):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "routes").mkdir()
    (tmp_path / "penstock.yaml").write_text(sample)
    read = load_settings(str(tmp_path / "penstock.yaml"))
    assert read.problems == ()
    assert read.settings is not None


@pytest.mark.parametrize("excerpt", EXCERPTS)
def test_an_excerpt_stands_in_the_sample_that_it_names(excerpt: str) -> None:
    name, _, text = excerpt.removeprefix("# ").partition("\n")
    assert len(text) > 100
    assert text in (ROOT / name).read_text()


def test_the_sample_of_a_key_file_has_no_problem() -> None:
    problems = Problems()
    (key,) = read_key_text("keys.yaml", KEY_FILE, {}, problems)
    assert problems.all() == ()
    assert (key.name, key.tier) == ("ada", "gold")
    (shown,) = re.findall(r"^psk-.+$", section("API keys"), re.MULTILINE)
    assert digest_of(shown.encode()) == key.digest
    assert f"ada    {key.digest.hex()[:8]}" in section("API keys")


def test_the_sample_of_mixtrain_has_no_problem() -> None:
    (sample,) = (block for block in blocks("json") if '"rules"' in block)
    loaded = load_texts({"routing.json": sample})
    assert loaded.problems == ()
    assert loaded.config is not None


def run_program(beginning: str) -> None:
    """Run the program that begins so."""
    (program,) = (block for block in blocks("python") if block.startswith(beginning))
    exec(compile(program, "README.md", "exec"), {})


async def test_the_token_that_a_program_makes_says_who_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_program("import json, time\n")
    token = capsys.readouterr().out.strip()
    (terms,) = re.findall(r"`auth: (\{jwt: .+?\}\})`", README.replace("\n", " "))
    config = read_config(f"servers: {{s: {{endpoints: [http://h], auth: {terms}}}}}\n{ROUTE_TO_S}")
    auth = config.servers["s"].auth
    assert auth is not None
    authenticator = Authenticator()
    await authenticator.adopt([auth])
    caller = await authenticator.identify(bearer(token))
    await authenticator.close()
    assert caller.identity is not None
    assert (caller.identity.id, caller.identity.data["tier"]) == ("ada", "gold")


def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    run_program("from proxy.mixtrain import")
    assert capsys.readouterr().out == "premium_users https://premium.modal.run\n"


REQUESTS = """\
{"model":"qwen"}
{"headers":{"user-type":"premium"},"body":{"model":"qwen"}}
{"model":"embed"}
{"model":"gpt-5"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the samples, a changed copy of one, and some requests."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    chat = (tmp_path / "config" / "routes" / "chat.yaml").read_text()
    changed = chat.replace("weight: 70", "weight: 50").replace("weight: 30", "weight: 50")
    (tmp_path / "chat.yaml").write_text(changed)
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "chat.yaml").write_text(changed)
    (tmp_path / "routes").mkdir()
    (tmp_path / "requests.jsonl").write_text(REQUESTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_program_with_the_commands_words_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_program("from proxy.config.loader import")
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["chat premium", """(("header user-type is 'premium'",),)"""]
    assert len(told) == 5


SHOWN = [block for block in blocks("console") if block.startswith("$ penstock") and block.count("$ ") == 1]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.splitlines()[0][2:60])
def test_what_a_command_prints_is_what_is_shown(folder: Path, shown: str) -> None:
    command, _, expected = shown.partition("\n")
    run = CliRunner().invoke(build(), shlex.split(command)[2:], env={"COLUMNS": "160"})
    told = run.output
    for part in expected.split("…\n"):
        assert part in told


def test_there_are_commands_shown() -> None:
    assert len(SHOWN) >= 5


DIALECTS = sorted(folder for folder in (ROOT / "config" / "examples").iterdir())


@pytest.mark.parametrize("folder", DIALECTS, ids=lambda folder: folder.name)
def test_the_samples_of_a_dialect_have_no_problem_and_are_shown(folder: Path) -> None:
    loaded = load_texts({file.name: file.read_text() for file in sorted(folder.iterdir())})
    assert loaded.problems == ()
    assert loaded.config is not None
    assert loaded.config.routes
    assert f"(config/examples/{folder.name})" in README


def test_the_first_configuration_has_15_lines() -> None:
    assert len(blocks("yaml")[0].splitlines()) == 15


def test_the_samples_in_config_have_no_problem() -> None:
    settings = load_settings(str(ROOT / "config" / "penstock.yaml"), {})
    assert settings.problems == ()
    loaded = load_texts({file.name: file.read_text() for file in sorted((ROOT / "config" / "routes").iterdir())})
    assert loaded.problems == ()


# --- commands ---------------------------------------------------------------------------------------------------------


def test_two_commands_do_everything() -> None:
    demo, tests = (block.strip() for block in blocks("sh"))
    assert demo == "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/penstock demo"
    assert tests == "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python -m pytest"


def test_the_pipeline_runs_the_readmes_own_command() -> None:
    pipeline = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -m 1 -E '(.+?)' README\.md", pipeline)
    assert pattern
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [blocks("sh")[1].strip()]


def parameters_of(command: str) -> list[Any]:
    """The parameters of a command, or of all commands below it."""
    loaded = load_command(command)
    commands = loaded.commands.values() if isinstance(loaded, TyperGroup) else [loaded]
    return [parameter for each in commands for parameter in each.params]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_told(command: str) -> None:
    options = {name for parameter in parameters_of(command) for name in parameter.opts if name.startswith("-")}
    assert set(named(section(f"penstock {command}"), "option")) == options - {"--help"}


def test_the_defaults_of_simulate_are_true() -> None:
    defaults = {parameter.opts[0]: parameter for parameter in load_command("simulate").params}
    for row in rows(section("penstock simulate"), "option"):
        parameter = defaults[quoted(row[0])[0]]
        assert parameter.required == (row[1] == "required")
        if told := quoted(row[1]):
            assert parameter.process_value(None, told[0]) == parameter.process_value(None, parameter.default)  # type: ignore[arg-type]
        else:
            assert parameter.default in {None, ""}


# --- settings ---------------------------------------------------------------------------------------------------------

# A document for each mapping of the files, with a hole in it.
SETTINGS_MAPPINGS = {
    "": "routes: x\n{}",
    "listeners[].": "listeners: [{{address: ':1', {}}}]",
    "listeners[].tls.": "listeners: [{{address: ':1', tls: {{{}}}}}]",
    "limits.": "limits: {{{}}}",
    "log.": "log: {{{}}}",
    "redis.": "redis: {{url: 'redis://h', {}}}",
}
SERVER_MAPPINGS = {
    "": "servers: {{s: {{endpoints: [http://h], {}}}}}",
    "endpoints[].": "servers: {{s: {{endpoints: [{{url: http://h, {}}}]}}}}",
    "select.": "servers: {{s: {{endpoints: [http://h], select: {{workload: w, {}}}}}}}",
    "rewrites[].": "servers: {{s: {{endpoints: [http://h], rewrites: [{{targets: m, {}}}]}}}}",
    "rewrites[].targets[].": "servers: {{s: {{endpoints: [http://h], rewrites: [{{targets: [{{model: m, {}}}]}}]}}}}",
    "timeout.": "servers: {{s: {{endpoints: [http://h], timeout: {{{}}}}}}}",
    "retries.": "servers: {{s: {{endpoints: [http://h], retries: {{{}}}}}}}",
    "rate_limit.": "servers: {{s: {{endpoints: [http://h], rate_limit: {{requests_per_second: 1, {}}}}}}}",
    "tls.": "servers: {{s: {{endpoints: [http://h], tls: {{{}}}}}}}",
    "disaggregation.": "servers: {{s: {{endpoints: [http://h], disaggregation: {{{}}}}}}}",
    "disaggregation.prefill.": "servers: {{s: {{endpoints: [http://h], disaggregation: {{prefill: {{{}}}}}}}}}",
    "disaggregation.decode.": "servers: {{s: {{endpoints: [http://h], disaggregation: {{decode: {{{}}}}}}}}}",
    "auth.": f"servers: {{{{s: {{{{endpoints: [http://h], auth: {{{{keys: {ROOT}/README.md, {{}}}}}}}}}}}}}}",
    "auth.jwt.": "servers: {{s: {{endpoints: [http://h], auth: {{jwt: {{jwks: 'https://h/keys', {}}}}}}}}}",
    "limits[].": "servers: {{s: {{endpoints: [http://h], limits: [{{requests: 1, {}}}]}}}}",
    "listener.": "servers: {{s: {{endpoints: [http://h], listener: {{port: 1, {}}}}}}}",
    "credential.": "servers: {{s: {{endpoints: [http://h], credential: {{secret: a/b, key: k, {}}}}}}}",
}
CANARY = "routes: [{{{{name: r, rules: [{{{{canary: {{{{stable: s, canary: s, {}}}}}}}}}]}}}}]"
ROUTE_MAPPINGS = {
    "": "routes: [{{name: r, rules: [{{targets: s}}], {}}}]",
    "token_limit.": "routes: [{{name: r, rules: [{{targets: s}}], token_limit: {{{}}}}}]",
    "rules[].": "routes: [{{name: r, rules: [{{targets: s, {}}}]}}]",
    "rules[].targets[].": "routes: [{{name: r, rules: [{{targets: [{{server: s, {}}}]}}]}}]",
    "rules[].fallback[].": "routes: [{{name: r, rules: [{{targets: s, fallback: [{{server: s, {}}}]}}]}}]",
    "rules[].shadow.": "routes: [{{name: r, rules: [{{targets: s, shadow: {{server: s, {}}}}}]}}]",
    "rules[].canary.": CANARY.format("{}"),
    "rules[].canary.split.": CANARY.format("split: {{stable: 90, {}}}"),
    "rules[].canary.analysis.": CANARY.format("analysis: {{threshold: 1, interval: 1, {}}}"),
    "rules[].canary.analysis.metrics.": CANARY.format("analysis: {{threshold: 1, interval: 1, metrics: {{{}}}}}"),
    "rules[].sticky.": "routes: [{{name: r, rules: [{{targets: [s, s], sticky: {{{}}}}}]}}]",
    "fallback[].": "routes: [{{name: r, rules: [{{targets: s}}], fallback: [{{server: s, {}}}]}}]",
}
MATCH_MAPPINGS = {
    "": "routes: [{{name: r, rules: [{{targets: s, match: {{{}}}}}]}}]",
    "fields[].": "routes: [{{name: r, rules: [{{targets: s, match: {{fields: [{{{}}}]}}}}]}}]",
}
TEST_MAPPINGS = {"": "routes: [{{name: r, rules: [{{targets: s, match: {{headers: {{a: {{{}}}}}}}}}]}}]"}
INVENTORY_MAPPINGS = {"": "endpoints: [{{address: h, {}}}]"}


def settings_problems(document: str) -> tuple[Problem, ...]:
    return load_settings_text("penstock.yaml", document, {}).problems


def route_problems(document: str) -> tuple[Problem, ...]:
    return load_texts({"routes.yaml": document}).problems


def known_keys(problems: tuple[Problem, ...]) -> set[str]:
    """The keys that a reader asks for, from its own word on a stranger among them."""
    message = next(problem.message for problem in problems if problem.code == Code.UNKNOWN_KEY)
    return set(message.partition("; known are ")[2].split(", "))


@pytest.mark.parametrize(
    ("heading", "head", "read", "mappings"),
    [
        ("The settings file", "setting", settings_problems, SETTINGS_MAPPINGS),
        ("A server", "setting", route_problems, SERVER_MAPPINGS),
        ("A route", "setting", route_problems, ROUTE_MAPPINGS),
        ("A match", "condition", route_problems, MATCH_MAPPINGS),
        ("A match", "test", route_problems, TEST_MAPPINGS),
        ("Endpoints", "setting", route_problems, INVENTORY_MAPPINGS),
    ],
)
def test_every_setting_is_told_and_none_is_invented(
    heading: str, head: str, read: Any, mappings: dict[str, str]
) -> None:
    asked = {
        prefix + key
        for prefix, document in mappings.items()
        for key in known_keys(read(document.format(f"{STRANGER}: 1")))
    }
    told = named(section(heading), head)
    assert set(told) == asked
    assert len(told) == len(set(told))


def test_what_stands_at_the_top_of_a_route_file_is_told() -> None:
    assert known_keys(route_problems(f"{STRANGER}: 1")) == {"servers", "routes", "endpoints"}
    assert "`servers`, a mapping" in section("Route files")
    assert "`routes`, a list" in section("Route files")
    assert "`endpoints`, an inventory" in section("Route files")


def told_defaults(heading: str, mappings: dict[str, str]) -> list[tuple[str, str]]:
    """For each row with a default that can be written: a document without it, and the same with it."""
    found = []
    for name, _, default, *_ in ((quoted(row[0])[0], *row[1:]) for row in rows(section(heading), "setting")):
        value = re.fullmatch(r"`([^`]+)`", default)
        prefix, dot, key = name.rpartition(".")
        if value is not None and name != "routes":
            document = mappings[prefix + dot]
            found.append((document.format(""), document.format(f"{key}: {value[1]}")))
    return found


@pytest.mark.parametrize(("without", "given"), told_defaults("The settings file", SETTINGS_MAPPINGS))
def test_a_default_of_the_settings_written_out_changes_nothing(without: str, given: str) -> None:
    assert read_settings(given) == read_settings(without)


def read_settings(document: str) -> Settings:
    routes = "" if "routes: x" in document else "routes: x\n"
    read = load_settings_text("penstock.yaml", routes + document, {})
    assert read.settings is not None, read.problems
    return read.settings


@pytest.mark.parametrize(("without", "given"), told_defaults("A server", SERVER_MAPPINGS))
def test_a_default_of_a_server_written_out_changes_nothing(without: str, given: str) -> None:
    routes = "\n" + ROUTE_TO_S
    assert read_config(given + routes).servers == read_config(without + routes).servers


@pytest.mark.parametrize(("without", "given"), told_defaults("A route", ROUTE_MAPPINGS))
def test_a_default_of_a_route_written_out_changes_nothing(without: str, given: str) -> None:
    servers = "servers: {s: {endpoints: [http://h]}}\n"
    assert read_config(servers + given).routes == read_config(servers + without).routes


ROUTE_TO_S = "routes: [{name: r, rules: [{targets: s}]}]"


def read_config(document: str) -> Config:
    loaded = load_texts({"routes.yaml": document})
    assert loaded.config is not None, loaded.problems
    return loaded.config


# --- codes ------------------------------------------------------------------------------------------------------------


def test_every_code_of_a_problem_is_told() -> None:
    assert named(section("Problems"), "code") == [code.value for code in Code]


def refusals() -> list[ast.Call]:
    """Every place in the code where a request is refused."""
    calls = [
        node
        for module in (ROOT / "proxy").rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"RequestError", "RequestError.malformed"}
    ]
    assert len(calls) > 20
    return calls


def refusals_of_gates() -> list[ast.Call]:
    """Every place in the code where a model server has no place for a request."""
    calls = [
        node
        for node in ast.walk(ast.parse((ROOT / "proxy" / "upstream" / "gate.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._refused"
    ]
    assert len(calls) > 2
    return calls


def codes_in_the_code() -> set[str]:
    given = [keyword.value for call in refusals() for keyword in call.keywords if keyword.arg == "code"]
    given += [call.args[1] for call in refusals_of_gates()]
    found = {value.value for value in given if isinstance(value, ast.Constant)}
    found |= {upstream_error(failure).code for failure in UpstreamFailure} | {bad_request().code}
    return {code for code in found if isinstance(code, str)}


def upstream_error(failure: UpstreamFailure) -> RequestError:
    return as_request_error(UpstreamError(failure, "", sent=True))


def bad_request() -> RequestError:
    return RequestError.malformed("")


def test_every_code_of_an_error_is_told() -> None:
    assert set(named(section("Errors"), "code")) - {"null"} == codes_in_the_code()


def test_the_statuses_of_broken_messages_are_told() -> None:
    told = next(row[1] for row in rows(section("Errors"), "code") if row[0] == "`bad_request`")
    calls = [call for call in refusals() if ast.unparse(call.func) == "RequestError.malformed"]
    statuses = {400} | {
        node.value
        for call in calls
        for argument in call.args[1:]
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and isinstance(node.value, int)
    }
    assert {int(status) for status in told.split(", ")} == statuses


def test_the_status_of_each_failure_of_an_engine_is_told() -> None:
    told = {quoted(row[0])[0]: row[1] for row in rows(section("Errors"), "code")}
    for failure in UpstreamFailure:
        error = upstream_error(failure)
        assert told[str(error.code)] == str(error.status)


def test_the_words_of_failures_that_are_no_code_are_told() -> None:
    assigned = {
        text.value
        for module in (ROOT / "proxy").rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("exchange.failure")
        for text in ast.walk(node.value)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    }
    assert len(assigned) > 3
    assert [word for word in assigned if f"`{word}`" not in section("Errors")] == []


def test_the_sample_of_an_error_is_true() -> None:
    message = "route not found: no route serves the model 'gpt-5'"
    error = RequestError(404, message, code="model_not_found", param="model")
    (sample,) = (block for block in blocks("json") if '"error"' in block)
    assert json.loads(sample) == json.loads(error_document(error, b"/v1/chat/completions"))


def test_the_words_of_retries_are_told() -> None:
    told = next(row[3] for row in rows(section("A server"), "setting") if row[0] == "`retries.on`")
    assert set(quoted(told)) == {failure.value for failure in UpstreamFailure} | {"4xx", "5xx"}


# --- telemetry --------------------------------------------------------------------------------------------------------


def test_every_metric_is_told_with_its_labels() -> None:
    facts = ControlFacts("v", True, 0.0)
    families = {
        family.name + "_total" * (family.type == "counter"): list(getattr(family, "_labelnames", ()))
        for family in ReportCollector([], facts).collect()
    }
    told = {quoted(row[0])[0]: quoted(row[1]) for row in rows(section("Metrics"), "metric")}
    assert told == families


def test_the_outcomes_of_a_reload_are_told() -> None:
    told = next(row[2] for row in rows(section("Metrics"), "metric") if row[0] == "`penstock_config_reloads_total`")
    assert set(quoted(told)) == {outcome.value for outcome in Outcome}


def sample_exchange() -> Exchange:
    return Exchange(
        request_id="5f1c0a9d2b7e-2a",
        client="10.0.0.7",
        method="POST",
        target="/v1/chat/completions?key=secret",
        started=100.0,
        model="qwen",
        route="chat",
        rule="canary",
        server="stable",
        endpoint="http://10.0.0.11:8000",
        status=200,
        bytes_in=412,
        bytes_out=9120,
        first_byte=100.0615,
        finished=101.8402,
        attempts=[Attempt("stable", "http://10.0.0.11:8000", "ok")],
    )


def clock() -> float:
    return 1795181858.123


def test_the_sample_of_the_access_log_is_true() -> None:
    line = TextLines(clock).line(sample_exchange()).decode()
    assert line.strip() in section("The access log").splitlines()


def test_every_field_of_the_access_log_is_told() -> None:
    fields = json.loads(JsonLines(clock).line(sample_exchange()))
    told = named(section("The access log"), "JSON field")
    assert set(told) == set(fields)
    exchange = sample_exchange()
    exchange.caller, exchange.queued, exchange.chain = "ada", 0.5, (FailedLink("stable", "no_endpoint"),)
    exchange.input_tokens = exchange.output_tokens = exchange.cached_tokens = 3
    optional = named(section("The access log"), "optional JSON field")
    assert set(told + optional) == set(json.loads(JsonLines(clock).line(exchange)))
    line = TextLines(clock).line(exchange).decode()
    for row in rows(section("The access log"), "optional JSON field"):
        assert all(word.partition("=")[0] + "=" in line for word in quoted(row[1]))


# --- architecture -----------------------------------------------------------------------------------------------------


def test_the_layers_are_those_that_import_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert "\n".join(["```", *layers, "```"]) in section("Architecture")


def test_the_picture_of_the_rooms_shows_all_of_them() -> None:
    paths = [path for path in (ROOT / "proxy").iterdir() if path.name != "py.typed" and not path.name.startswith("_")]
    rooms = {path.name + "/" * path.is_dir() for path in paths}
    assert set(re.findall(r"^  (\w+(?:/|\.py)) ", section("Architecture"), re.MULTILINE)) == rooms


def test_links_lead_to_files_of_the_project() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        if target != "benchmarks/RESULTS.md":  # it is generated
            assert (ROOT / target).exists(), target


def test_links_within_the_readme_lead_to_its_headings() -> None:
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    for target in re.findall(r"\]\(#([^)]+)\)", README):
        assert target in anchors


def test_hints_are_told_apart_from_errors() -> None:
    for severity in Severity:
        assert severity.value in section("Problems")
