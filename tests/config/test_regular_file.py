"""Only regular files are read, and none holds whoever reads it."""

import os
from pathlib import Path

import pytest

from proxy.config.regular_file import read_regular


def test_a_file_is_read_through_links_and_up_to_a_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b", 4) == b"0123"


def test_what_is_no_file_is_refused_and_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "none"):
        with pytest.raises(OSError):  # noqa: PT011 - it says what each of them is
            read_regular(path, 10)
