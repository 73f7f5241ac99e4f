"""A worker's process whose application sees what a file says of canaries, and tells which weights it has.

The file is `evidence.json` in the folder of the state: for "route/rule", the trials and failures of both sides.
"""

import json
import sys
from pathlib import Path
from typing import Any

from proxy.config.settings_spec import Settings
from proxy.config.spec import Config
from proxy.routing.canary import SideEvidence
from proxy.runtime.boot import run_worker
from proxy.telemetry.report import CanaryCounters, MetricsSnapshot, WorkerReport
from tests.runtime.fake_worker import FakeApp


class CanaryApp(FakeApp):
    """Its report counts, under `failures`, 1 for each rule with its weights: "chat/all 90/10"."""

    def __init__(self, settings: Settings, worker: int, *rest: Any) -> None:
        super().__init__(settings, worker, *rest)
        self.evidence = Path(settings.state or "") / "evidence.json"
        self.weights: list[str] = []

    async def apply(self, config: Config) -> None:
        await super().apply(config)
        self.weights = [
            f"{route.name}/{rule.name} {'/'.join(str(target.weight) for target in rule.targets)}"
            for route in config.routes
            for rule in route.rules
        ]

    def report(self) -> WorkerReport:
        report = super().report()
        report.metrics = MetricsSnapshot(failures=dict.fromkeys(self.weights, 1))
        seen = json.loads(self.evidence.read_text()) if self.evidence.exists() else {}
        report.canaries = [
            CanaryCounters(*name.split("/"), side, SideEvidence(*counts))
            for name, sides in seen.items()
            for side, counts in enumerate(sides)
        ]
        return report


if __name__ == "__main__":
    sys.exit(run_worker(int(sys.argv[1]), CanaryApp))
