"""Canaries on a clock that only the test moves, with workers that count what the test says."""

from proxy.config.spec import Analysis
from proxy.routing.canary import NOTHING, SideEvidence, Timed
from proxy.runtime.canaries import Canaries
from proxy.runtime.canary_course import CanaryView, Course, Moment
from proxy.runtime.canary_plan import CanaryPlan, CanaryWeights
from proxy.runtime.canary_state import Key, SavedCanary
from proxy.telemetry.report import CanaryCounters, MetricsSnapshot, WorkerReport

ANALYSIS = Analysis(95.0, 60.0, min_requests=20)
STEPS = (1, 5, 25, 50, 100)
UNIX = 1_700_000_000.0


def plan(rule: str = "all", digest: str = "d1", steps: tuple[int, ...] = (), route: str = "chat") -> CanaryPlan:
    return CanaryPlan(route, rule, "stable", "new", digest, (90, 10), ANALYSIS, steps)


class FakeWorker:
    """A process that counts."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.counts: dict[tuple[str, str, int], SideEvidence] = {}

    def serve(self, side: int, trials: int, failures: int = 0, rule: str = "all", ttft: Timed = NOTHING.ttft) -> None:
        place = ("chat", rule, side)
        added = SideEvidence(trials, failures, ttft)
        self.counts[place] = self.counts.get(place, NOTHING).plus(added)

    def report(self) -> WorkerReport:
        canaries = [CanaryCounters(*place, evidence) for place, evidence in self.counts.items()]
        return WorkerReport(0, self.pid, "v1", 0, 0, False, [], MetricsSnapshot(), canaries=canaries)


class Stage:
    """Canaries of some plans, and two workers."""

    def __init__(
        self, *plans: CanaryPlan, saved: dict[Key, SavedCanary] | None = None, steady: float = 1_000.0
    ) -> None:
        self.steady = steady
        self.workers = [FakeWorker(101), FakeWorker(102)]
        self.canaries = Canaries(saved or {})
        self.load(*plans)

    @property
    def now(self) -> Moment:
        return Moment(self.steady, UNIX + self.steady)

    @property
    def view(self) -> CanaryView:
        return self.canaries.views()[0]

    @property
    def weights(self) -> tuple[CanaryWeights, ...]:
        return self.canaries.weights

    def load(self, *plans: CanaryPlan) -> None:
        """A configuration comes into force."""
        courses = self.canaries.prospect(plans, self.now)
        self.look()
        self.canaries.install(courses, self.now)

    def look(self) -> None:
        self.canaries.observe([worker.report() for worker in self.workers])

    def wait(self, seconds: float = 60.0) -> list[Course]:
        """Time goes by; what changed when it was over."""
        self.steady += seconds
        self.look()
        return self.canaries.judge(self.now)

    def interval(self, canary: tuple[int, int], stable: tuple[int, int] = (1_800, 9)) -> list[Course]:
        """An interval in which both workers together see these trials and failures."""
        for side, (trials, failures) in enumerate((stable, canary)):
            self.workers[0].serve(side, trials - trials // 2, failures - failures // 2)
            self.workers[1].serve(side, trials // 2, failures // 2)
        return self.wait()
