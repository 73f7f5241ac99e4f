from collections import deque

import pytest

from proxy.simulator.journal import Counters, Entry, Journal


def entry(**changes: object) -> Entry:
    return Entry(**{"method": "POST", "path": "/", "query": "", "headers": [], "started": 1.0, **changes})


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"status": 200}, "completed"),
        ({"status": 200, "fault": "slow=1"}, "completed"),
        ({"status": 404}, "refused"),
        ({"status": 503, "broken": True}, "faulted"),
        ({"aborted": True, "fault": "stall"}, "aborted"),
    ],
)
def test_every_request_is_counted_once_by_how_it_ended(changes: dict[str, object], counter: str) -> None:
    journal = Journal(deque())
    one = entry(**changes)
    journal.open(one)
    assert journal.counters == Counters(received=1, in_flight=1)
    journal.close(one, 2.0)
    assert journal.counters == Counters(**{"received": 1, counter: 1})
    assert one.finished == 2.0


def test_only_the_last_requests_are_kept_but_all_are_counted() -> None:
    journal = Journal(deque(maxlen=2))
    for number in range(5):
        journal.open(entry(path=f"/{number}"))
    assert [kept.path for kept in journal.entries] == ["/3", "/4"]
    assert journal.counters.received == 5


def test_clearing_forgets_what_has_ended_and_keeps_what_is_in_flight() -> None:
    journal = Journal(deque(maxlen=9))
    done, going = entry(path="/done"), entry(path="/going")
    for one in (done, going):
        journal.open(one)
    journal.close(done, 2.0)
    journal.clear()
    journal.close(going, 3.0)
    assert [kept.path for kept in journal.entries] == ["/going"]
    assert journal.counters == Counters(received=1, completed=1)
