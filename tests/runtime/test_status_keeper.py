from proxy.runtime.resource_status import Finding
from proxy.runtime.status_keeper import StatusKeeper

KEY = ("servers", "chat")


def ready(holds: bool, reason: str = "Because", message: str = "") -> list[Finding]:
    return [Finding("Ready", holds, reason, message)]


def test_a_condition_dates_from_when_it_turned() -> None:
    keeper = StatusKeeper()
    assert keeper.date(KEY, ready(False), 100.0).since == {"Ready": 100.0}
    assert keeper.date(KEY, ready(True), 160.0).since == {"Ready": 160.0}
    assert keeper.date(KEY, ready(True), 220.0).since == {"Ready": 160.0}
    assert keeper.date(KEY, ready(False), 280.0).since == {"Ready": 280.0}


def test_another_reason_or_message_is_no_transition() -> None:
    keeper = StatusKeeper()
    keeper.date(KEY, ready(False, "NoEndpoints"), 100.0)
    assert keeper.date(KEY, ready(False, "NotListening", "port 80"), 160.0).since == {"Ready": 100.0}


def test_each_condition_has_a_time_of_its_own() -> None:
    keeper = StatusKeeper()
    keeper.date(KEY, [*ready(True), Finding("Synced", True, "Synced")], 100.0)
    dated = keeper.date(KEY, [*ready(True), Finding("Synced", False, "NotInForce")], 160.0)
    assert dated.since == {"Ready": 100.0, "Synced": 160.0}


def test_a_resource_was_seen_first_when_it_came() -> None:
    keeper = StatusKeeper()
    assert keeper.date(KEY, ready(True), 100.0).first_seen == 100.0
    assert keeper.date(KEY, ready(False), 160.0).first_seen == 100.0
    assert keeper.date(("routes", "chat"), ready(True), 160.0).first_seen == 160.0


def test_a_resource_that_was_gone_begins_anew() -> None:
    keeper = StatusKeeper()
    keeper.date(KEY, ready(True), 100.0)
    keeper.date(("routes", "chat"), ready(True), 100.0)
    keeper.keep_only([("routes", "chat")])
    assert keeper.date(KEY, ready(True), 160.0) == (160.0, {"Ready": 160.0})
    assert keeper.date(("routes", "chat"), ready(True), 160.0) == (100.0, {"Ready": 100.0})


def test_a_condition_that_was_not_told_for_a_while_begins_anew() -> None:
    keeper = StatusKeeper()
    keeper.date(KEY, [*ready(True), Finding("Listening", True, "Listening")], 100.0)
    keeper.date(KEY, ready(True), 160.0)
    dated = keeper.date(KEY, [*ready(True), Finding("Listening", True, "Listening")], 220.0)
    assert dated.since == {"Ready": 100.0, "Listening": 220.0}


def test_a_clock_that_is_put_back_changes_no_time_that_was_given() -> None:
    keeper = StatusKeeper()
    keeper.date(KEY, ready(True), 100.0)
    assert keeper.date(KEY, ready(True), 40.0).since == {"Ready": 100.0}
