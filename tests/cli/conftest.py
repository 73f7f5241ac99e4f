"""A folder with route files, in which the tools are run."""

from pathlib import Path

import pytest

from tests.cli.commands import BATCH, CHAT


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder; the files are in routes/ below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "chat.yaml").write_text(CHAT)
    (tmp_path / "routes" / "more.yaml").write_text(BATCH)
    return tmp_path
