"""The entry of a worker's process: `python -m proxy.runtime.worker DESCRIPTOR`, started by the supervisor alone."""

import sys

from proxy.config.settings_spec import Settings
from proxy.runtime.app import App
from proxy.runtime.boot import run_worker
from proxy.runtime.data_plane import Application


def make_app(settings: Settings, worker: int) -> Application:
    """The application that serves requests."""
    return App(settings, worker=worker)


if __name__ == "__main__":
    sys.exit(run_worker(int(sys.argv[1]), make_app))
