"""What Mixtrain's own package was seen to do, and the document that describes it; both lie beside the repository."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[2].parent / "shared"
SAMPLE = SHARED / "data" / "mixtrain-cases.json"
DOCUMENT_TITLE = "# Mixtrain Routing Engine"


def observed(section: str) -> pytest.MarkDecorator:
    """The rows of a section as the test's `row`; one skipped row where the sample is not at hand."""
    if not SAMPLE.is_file():
        absent = pytest.mark.skip(reason=f"the sample of observed behaviour is not at {SAMPLE}")
        return pytest.mark.parametrize("row", [pytest.param({}, marks=absent, id="no-sample")])
    rows: list[dict[str, Any]] = json.loads(SAMPLE.read_text(encoding="utf-8"))[section]
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.get("id")) for row in rows])


def document() -> str:
    """The text of the document. Skips the test where it is not at hand."""
    for path in sorted((SHARED / "seeds").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        if text.startswith(DOCUMENT_TITLE):
            return text
    pytest.skip(f"the document is not in {SHARED / 'seeds'}")


def versionless(text: str) -> str:
    """A message of pydantic's without the version that its links name."""
    return re.sub(r"errors\.pydantic\.dev/[0-9.]+/", "errors.pydantic.dev/", text)
