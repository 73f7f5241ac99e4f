"""Documents of model resources for tests, and what becomes of them."""

import re
from pathlib import Path

from proxy.config.loader import LoadResult, load_texts
from proxy.config.spec import ModelServer, Route
from proxy.errors import Problem, Severity

KTHENA = "networking.serving.volcano.sh/v1alpha1"
MATRIXINFER = "networking.matrixinfer.ai/v1alpha1"

ROOT = Path(__file__).parent.parent.parent
# The pages that users come with, each with examples in blocks.
PAGES = ROOT.parent / "shared" / "seeds"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples(page: str) -> list[str]:
    """The YAML blocks of a page by the beginning of its name; none where the pages are not at hand."""
    return [block for file in sorted(PAGES.glob(f"{page}_*.txt")) for block in _BLOCK.findall(file.read_text())]


def document(kind: str, spec: str, *, name: str = "r", namespace: str = "ns", version: str = KTHENA) -> str:
    """A resource whose spec is written in flow style and stands on line 4 of the text."""
    metadata = f"{{name: {name}, namespace: {namespace}}}"
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"


def load(*texts: str, **variables: str) -> LoadResult:
    """What comes of these documents, which stand in one file."""
    return load_texts({"a.yaml": "---\n".join(texts)}, variables)


def problems(*texts: str, **variables: str) -> list[Problem]:
    """What is told of them, except that they refer to nothing, find nothing or lead nowhere."""
    alone = {"PS107", "PS131", "PS132", "PS135"}
    return [problem for problem in load(*texts, **variables).problems if problem.code not in alone]


def only_problem(*texts: str, **variables: str) -> Problem:
    """The one thing that is told of them."""
    (problem,) = problems(*texts, **variables)
    return problem


def only_error(*texts: str) -> Problem:
    """The one error in them."""
    (problem,) = [problem for problem in problems(*texts) if problem.severity is Severity.ERROR]
    return problem


def route(text: str, name: str = "ns/r") -> Route:
    """The route of this name."""
    result = load(text)
    assert result.config is not None, result.problems
    (found,) = [route for route in result.config.routes if route.name == name]
    return found


def server(text: str, name: str = "ns/r") -> ModelServer:
    """The server of this name."""
    result = load(text)
    assert result.config is not None, result.problems
    return result.config.servers[name]
