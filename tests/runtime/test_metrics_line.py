import asyncio

from proxy.runtime.channel import MetricsText, MetricsWanted
from proxy.runtime.metrics_line import MetricsLine


class Supervisor:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def take(self, wanted: MetricsWanted) -> None:
        self.asked.append(wanted.number)


async def test_those_who_ask_at_once_share_an_answer() -> None:
    supervisor = Supervisor()
    line = MetricsLine(supervisor.take)
    askers = [asyncio.create_task(line.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    line.take(MetricsText(1, b"up 1"))
    assert await asyncio.gather(*askers) == [b"up 1"] * 3
    assert supervisor.asked == [1]


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    line = MetricsLine(Supervisor().take)
    askers = [asyncio.create_task(line.ask()) for _ in range(2)]
    await asyncio.sleep(0)
    askers[0].cancel()
    await asyncio.wait([askers[0]])
    line.take(MetricsText(1, b"up 1"))
    assert await askers[1] == b"up 1"


async def test_without_an_answer_in_time_there_are_no_metrics_and_the_next_question_is_a_new_one() -> None:
    supervisor = Supervisor()
    line = MetricsLine(supervisor.take)
    assert await line.ask(limit=0.0) is None
    asking = asyncio.create_task(line.ask())
    await asyncio.sleep(0)
    line.take(MetricsText(1, b"too late"))
    line.take(MetricsText(2, b"up 1"))
    line.take(MetricsText(2, b"up 2"))
    assert await asking == b"up 1"
    assert supervisor.asked == [1, 2]
