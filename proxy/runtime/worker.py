"""The entry of a worker's process: `python -m proxy.runtime.worker DESCRIPTOR`, started by the supervisor alone."""

import sys

from proxy.access.shared_table import SharedTable
from proxy.config.settings_spec import Settings
from proxy.runtime.app import App
from proxy.runtime.boot import run_worker
from proxy.runtime.data_plane import Application


def make_app(settings: Settings, worker: int, table: SharedTable) -> Application:
    """The application that serves requests."""
    return App(settings, worker=worker, table=table)


if __name__ == "__main__":
    sys.exit(run_worker(int(sys.argv[1]), make_app))
