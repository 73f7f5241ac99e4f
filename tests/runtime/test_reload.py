from proxy.errors import Problem, Severity
from proxy.runtime.reading import Reading, failed_reading
from proxy.runtime.reload import Outcome, Reloader, Verdict

ERROR = Problem(Severity.ERROR, "unknown-key", "routes.yaml", 3, 5, "routes[0]", "there is no such key")
WARNING = Problem(Severity.WARNING, "empty-file", "other.yaml", 0, 0, "", "the file is empty")


def good(version: str, *problems: Problem) -> Reading:
    return Reading(version=version, problems=problems, pieces=(b"piece",), route_count=1)


def running(version: str = "v1") -> Reloader:
    reloader = Reloader()
    reloader.begin(good(version), now=1000.0)
    return reloader


def test_a_good_and_new_reading_is_applied() -> None:
    assert running().judge(good("v2")) is Verdict.APPLY


def test_warnings_do_not_keep_a_reading_from_being_applied() -> None:
    assert running().judge(good("v2", WARNING)) is Verdict.APPLY


def test_the_same_content_is_not_applied_again() -> None:
    assert running().judge(good("v1")) is Verdict.NOTHING


def test_one_error_keeps_what_is_in_force() -> None:
    assert running().judge(good("v2", WARNING, ERROR)) is Verdict.KEEP


def test_an_empty_configuration_is_never_applied() -> None:
    assert running().judge(Reading(version="v2")) is Verdict.KEEP


def test_a_reader_that_failed_keeps_what_is_in_force() -> None:
    assert running().judge(failed_reading(["routes/"], "killed")) is Verdict.KEEP


def test_a_rejected_reading_leaves_the_version_and_the_time_of_the_last_success() -> None:
    reloader = running()
    reloader.record(Outcome.REJECTED, good("v2", ERROR), now=2000.0)
    facts = reloader.facts()
    assert (facts.version, facts.loaded_at, facts.last_success) == ("v1", 1000.0, 1000.0)
    assert not facts.last_reload_successful
    assert facts.problems == (ERROR,)
    assert facts.reloads["rejected"] == 1


def test_an_applied_reading_becomes_the_version_in_force() -> None:
    reloader = running()
    reloader.record(Outcome.APPLIED, good("v2", WARNING), now=2000.0)
    facts = reloader.facts()
    assert (facts.version, facts.loaded_at, facts.last_success) == ("v2", 2000.0, 2000.0)
    assert facts.last_reload_successful
    assert facts.problems == (WARNING,)


def test_taking_back_a_bad_edit_clears_its_problems() -> None:
    reloader = running()
    reloader.record(Outcome.REJECTED, good("v2", ERROR), now=2000.0)
    reloader.record(Outcome.UNCHANGED, good("v1"), now=3000.0)
    facts = reloader.facts()
    assert facts.last_reload_successful
    assert facts.problems == ()
    assert (facts.loaded_at, facts.last_success) == (1000.0, 3000.0)


def test_what_workers_could_not_apply_is_a_problem_of_its_own() -> None:
    reloader = running()
    reloader.record(Outcome.FAILED, good("v2"), now=2000.0, problems=(ERROR,))
    facts = reloader.facts()
    assert (facts.version, facts.last_reload_successful, facts.problems) == ("v1", False, (ERROR,))


def test_the_first_configuration_is_no_reload() -> None:
    assert set(running().facts().reloads.values()) == {0}
