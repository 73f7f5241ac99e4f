"""The house keeps its shape: tests mirror the source, packages say nothing, modules stay short."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "proxy").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LONGEST = 450

# Tests of the project itself, and of all of it at once.
OF_THE_WHOLE = {Path("test_readme.py"), Path("test_structure.py")}


def below(folder: str, path: Path) -> Path:
    return path.relative_to(ROOT / folder)


def relative_imports(module: Path) -> list[int]:
    tree = ast.parse(module.read_text())
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: str(below("tests", test)))
def test_each_test_file_stands_where_its_module_does(test: Path) -> None:
    place = below("tests", test)
    if place in OF_THE_WHOLE or place.parts[0] == "end_to_end":
        return
    module = ROOT / "proxy" / place.parent / place.name.removeprefix("test_")
    assert module.is_file(), f"{place} tests no module of proxy/"


def test_every_room_has_tests() -> None:
    rooms = {below("proxy", module).parts[0] for module in MODULES if len(below("proxy", module).parts) > 1}
    tested = {below("tests", test).parts[0] for test in TESTS}
    assert rooms <= tested


# The face of an API that people import from another package: it may gather names, and nothing more.
FACES = {Path("mixtrain/__init__.py")}


def test_a_package_says_nothing_of_its_own() -> None:
    packages = [module for module in MODULES if module.name == "__init__.py"]
    assert not [str(module) for module in packages if has_code(module) and below("proxy", module) not in FACES]


@pytest.mark.parametrize("face", FACES, ids=str)
def test_a_package_that_is_a_face_only_gathers_names(face: Path) -> None:
    body = ast.parse((ROOT / "proxy" / face).read_text()).body[1:]
    assert all(isinstance(node, ast.ImportFrom) for node in body[:-1])
    assert ast.unparse(body[-1]).startswith("__all__ = ")


def has_code(module: Path) -> bool:
    """Anything but a docstring: no re-exports, no work at import."""
    body = ast.parse(module.read_text()).body
    return bool(body) and not (len(body) == 1 and ast.get_docstring(ast.parse(module.read_text())))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(below("proxy", module)))
def test_a_module_is_short_says_what_it_holds_and_imports_by_full_name(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= LONGEST
    assert not text or ast.get_docstring(ast.parse(text))
    assert not relative_imports(module)
    assert "TYPE_CHECKING" not in text


def test_the_pipeline_checks_all_that_the_house_asks_for() -> None:
    pipeline = (ROOT / ".ci" / "run").read_text()
    lines = pipeline.splitlines()
    for tool in ("ruff check .", "ruff format --check .", "mypy", "lint-imports"):
        assert tool in lines
    assert "set -euo pipefail" in lines
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"id: (\S+)", hooks)) == {"ruff-check", "ruff-format", "mypy", "lint-imports"}


def test_import_linter_knows_every_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")
    rooms = {below("proxy", module).parts[0].removesuffix(".py") for module in MODULES} - {"__init__"}
    assert layers["exhaustive"]
    assert {room for layer in layers["layers"] for room in layer.split(" | ")} == rooms
