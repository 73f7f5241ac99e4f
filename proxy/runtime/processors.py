"""How many processors this process may use."""

import math
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def count_processors(cpu_max: Path = CPU_MAX) -> int:
    """Those that it may be scheduled on, and no more than its container's limit (cgroup v2) allows."""
    scheduled = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return scheduled
    if quota == "max":
        return scheduled
    return max(1, min(scheduled, math.ceil(int(quota) / int(period))))
