"""How this package's own modules are started as processes of their own."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def module_command(module: str) -> Sequence[str]:
    """`python -m module`, blind to the working directory: a folder named `proxy` there must not be imported."""
    return (sys.executable, "-P", "-m", module)


def child_environment() -> Mapping[str, str]:
    """Our environment; where the package is not installed but run from its source, the source is put on the path."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    if Path(root).name in {"site-packages", "dist-packages"}:
        return os.environ
    paths = [root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
