"""Promises of the canaries of a configuration, over all workers and across reloads."""

import random

import msgspec
import pytest

from proxy.routing.canary import SideEvidence
from proxy.runtime.canaries import LONGEST_ABSENCE, MOST_ABSENT, Action, CanaryError
from proxy.runtime.canary_plan import CanaryWeights
from proxy.runtime.canary_state import UNREADABLE, Phase, SavedCanary
from tests.runtime.canary_stage import STEPS, FakeWorker, Stage, plan

OUT = (CanaryWeights("chat", "all", 100, 0),)


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_evidence_is_gathered_over_all_workers() -> None:
    stage = Stage(plan())
    stage.workers[0].serve(1, 7, 1)
    stage.workers[1].serve(1, 5, 2)
    stage.look()
    assert stage.view.canary[:2] == (12, 3)


def test_what_was_seen_is_counted_once_however_often_workers_are_asked() -> None:
    stage = Stage(plan())
    stage.workers[0].serve(1, 7, 1)
    for _ in range(5):
        stage.look()
    assert stage.view.canary[:2] == (7, 1)


def test_what_a_dead_worker_told_is_not_forgotten_and_its_replacement_counts_from_0() -> None:
    stage = Stage(plan())
    stage.workers[0].serve(1, 7, 1)
    stage.look()
    stage.workers[0] = FakeWorker(201)
    stage.look()
    stage.workers[0].serve(1, 3, 1)
    stage.look()
    assert stage.view.canary[:2] == (10, 2)


def test_a_process_number_that_is_used_again_counts_from_0() -> None:
    stage = Stage(plan())
    stage.workers[0].serve(1, 7, 1)
    stage.look()
    stage.workers[0] = FakeWorker(101)
    stage.workers[0].serve(1, 3, 1)
    stage.look()
    assert stage.view.canary[:2] == (10, 2)


def test_counters_of_unknown_rules_and_sides_change_nothing() -> None:
    stage = Stage(plan())
    stage.workers[0].serve(1, 7, rule="other")
    stage.workers[0].serve(2, 7)
    stage.look()
    assert (stage.view.stable, stage.view.canary) == (SideEvidence(), SideEvidence())


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_a_canary_that_fails_a_tenth_is_rolled_back_in_the_first_interval_with_evidence() -> None:
    stage = Stage(plan())
    assert stage.weights == ()
    (course,) = stage.interval((400, 40))
    assert (course.phase, stage.weights) == (Phase.FAILED, OUT)
    assert course.reason.startswith("40 of 400 requests failed (90% success, threshold 95%): significantly below")


def test_a_canary_that_fails_a_tenth_is_rolled_back_from_any_step() -> None:
    for healthy in range(len(STEPS)):
        stage = Stage(plan(steps=STEPS))
        for _ in range(healthy):
            stage.interval((200, 1))
        assert stage.weights[0].canary == STEPS[healthy]
        stage.interval((400, 40), stable=(0, 0) if STEPS[healthy] == 100 else (1_800, 9))
        assert (stage.view.phase, stage.weights) == (Phase.FAILED, OUT)


def test_a_canary_as_good_as_stable_goes_through_all_steps_and_is_promoted() -> None:
    stage = Stage(plan(steps=STEPS))
    shares = [stage.weights[0]]
    for _ in STEPS:
        stage.interval((200, 1))
        shares.append(stage.weights[0])
    assert [each.canary for each in shares] == [1, 5, 25, 50, 100, 100]
    assert all(each.stable + each.canary == 100 for each in shares)
    assert stage.view.phase is Phase.PROMOTED


def test_a_canary_with_too_few_requests_is_neither_rolled_back_nor_promoted() -> None:
    stage = Stage(plan(steps=STEPS))
    for interval in range(100):
        assert stage.interval((1, 1) if interval < 19 else (0, 0)) == []
        assert (stage.view.phase, stage.weights[0].canary) == (Phase.PROGRESSING, 1)
    assert stage.view.reason == "too little evidence: 19 of 20 requests"


def test_a_canary_without_steps_is_judged_on_and_on_at_its_share() -> None:
    stage = Stage(plan())
    for _ in range(10):
        assert stage.interval((200, 1)) == []
        assert (stage.view.phase, stage.view.weight, stage.weights) == (Phase.WATCHING, 10.0, ())
        assert stage.view.canary.trials == 0
    assert stage.interval((400, 40))


def test_a_healthy_canary_is_promoted_by_chance_as_it_comes() -> None:
    chance = random.Random(3)
    for _ in range(100):
        stage = Stage(plan(steps=STEPS))
        for _ in range(20):
            stage.interval((100, sum(chance.random() < 0.005 for _ in range(100))))
        assert stage.view.phase is Phase.PROMOTED


# --- reloads and restarts ---------------------------------------------------------------------------------------------


def test_a_reload_that_leaves_a_rule_as_it_is_keeps_phase_window_and_evidence() -> None:
    stage = Stage(plan(steps=STEPS))
    stage.interval((200, 1))
    stage.workers[0].serve(1, 15)
    stage.steady += 30.0
    stage.load(plan("other"), plan(steps=STEPS))
    views = {view.plan.rule: view for view in stage.canaries.views()}
    assert (views["all"].step, views["all"].canary.trials) == (2, 15)
    stage.workers[0].serve(1, 15)
    assert [course.plan.rule for course in stage.wait(30.0)] == ["all"]


def test_a_change_of_the_file_forgets_all_and_what_was_seen_before_is_no_evidence() -> None:
    stage = Stage(plan())
    stage.interval((400, 40))
    stage.workers[0].serve(1, 400, 400)
    stage.load(plan(digest="d2"))
    stage.look()
    assert (stage.view.phase, stage.view.canary.trials, stage.weights) == (Phase.WATCHING, 0, ())


def test_a_rule_that_is_away_for_a_while_has_no_weight_and_comes_back_as_it_was() -> None:
    stage = Stage(plan())
    stage.interval((400, 40))
    failed = stage.view
    stage.load()
    assert (stage.canaries.views(), stage.weights) == ([], ())
    stage.steady += LONGEST_ABSENCE - 10.0
    stage.load(plan("other"))
    stage.steady += 10.0
    stage.load(plan("other"), plan())
    back = stage.canaries.views()[1]
    assert (back.phase, back.reason, back.since, stage.weights) == (Phase.FAILED, failed.reason, failed.since, OUT)


def test_a_step_outlives_a_reload_without_its_rule() -> None:
    stage = Stage(plan(steps=STEPS))
    stage.interval((200, 1))
    stage.load()
    stage.load(plan(steps=STEPS))
    assert (stage.view.step, stage.view.canary.trials) == (2, 0)


def test_a_rule_that_comes_back_with_another_file_begins_anew() -> None:
    stage = Stage(plan())
    stage.interval((400, 40))
    stage.load()
    stage.load(plan(digest="d2"))
    assert stage.view.phase is Phase.WATCHING


@pytest.mark.parametrize("reload_meanwhile", [False, True])
def test_a_rule_that_is_away_for_longer_than_a_week_is_forgotten(reload_meanwhile: bool) -> None:
    stage = Stage(plan())
    stage.interval((400, 40))
    stage.load()
    stage.steady += LONGEST_ABSENCE + 1.0
    if reload_meanwhile:
        stage.load()
        assert stage.canaries.saved == {}
    stage.load(plan())
    assert stage.view.phase is Phase.WATCHING


def test_an_absence_is_counted_on_across_restarts() -> None:
    before = Stage(plan())
    before.interval((400, 40))
    before.load()
    after = Stage(saved=before.canaries.saved, steady=before.steady + LONGEST_ABSENCE - 1.0)
    after.load()
    after.steady += 2.0
    after.load(plan())
    assert after.view.phase is Phase.WATCHING


def test_of_too_many_absent_rules_the_last_ones_are_remembered() -> None:
    stage = Stage(plan("first"))
    stage.steady += 1.0
    stage.load(*[plan(f"r{number}") for number in range(MOST_ABSENT)])
    assert ("chat", "first") in stage.canaries.saved
    stage.steady += 1.0
    stage.load()
    assert len(stage.canaries.saved) == MOST_ABSENT
    assert ("chat", "first") not in stage.canaries.saved


def test_rules_whose_names_look_alike_keep_their_own_verdicts_across_restarts() -> None:
    pair = (plan("q/r", route="p"), plan("r", route="p/q"))
    before = Stage(*pair)
    before.canaries.command(Action.ABORT, "p", before.now)
    before.canaries.command(Action.PROMOTE, "p/q", before.now)
    after = Stage(*pair, saved=before.canaries.saved)
    assert [view.phase for view in after.canaries.views()] == [Phase.ABORTED, Phase.PROMOTED]


def test_a_saved_canary_without_a_readable_digest_holds_any_plan_and_one_with_another_digest_none() -> None:
    held = SavedCanary("", Phase.ABORTED, 0.0, 0, 0.0, UNREADABLE)
    stage = Stage(plan(), saved={("chat", "all"): held})
    assert (stage.view.phase, stage.view.reason, stage.weights) == (Phase.ABORTED, UNREADABLE, OUT)
    assert stage.view.since == stage.now.unix
    stage.load(plan(digest="d2"))
    assert stage.weights == ()
    other = msgspec.structs.replace(held, digest="d0")
    assert Stage(plan(), saved={("chat", "all"): other}).weights == ()


def test_a_prospect_that_is_not_installed_changes_nothing() -> None:
    stage = Stage(plan())
    stage.interval((400, 40))
    stage.canaries.prospect([plan(digest="d2")], stage.now)
    assert (stage.view.phase, stage.weights) == (Phase.FAILED, OUT)


@pytest.mark.parametrize("action", [Action.PROMOTE, Action.ABORT])
def test_what_an_operator_said_holds_across_restarts_until_the_file_changes(action: Action) -> None:
    before = Stage(plan())
    before.canaries.command(action, "chat/all", before.now)
    after = Stage(plan(), saved=before.canaries.saved)
    assert (after.view.phase, after.weights) == (before.view.phase, before.weights)
    assert Stage(plan(digest="d2"), saved=before.canaries.saved).weights == ()


def test_a_rolled_back_canary_stays_so_across_restarts_and_says_why() -> None:
    before = Stage(plan())
    before.interval((400, 40))
    after = Stage(plan(), saved=before.canaries.saved, steady=5_000.0)
    assert (after.view.phase, after.weights, after.view.since) == (Phase.FAILED, OUT, before.view.since)
    assert after.view.reason == before.view.reason
    assert after.interval((400, 0)) == []


def test_a_step_is_kept_across_restarts_with_a_fresh_window() -> None:
    before = Stage(plan(steps=STEPS))
    before.interval((200, 1))
    before.interval((200, 1))
    after = Stage(plan(steps=STEPS), saved=before.canaries.saved)
    assert (after.view.step, after.weights[0].canary, after.view.canary.trials) == (3, 25, 0)


def test_what_was_saved_serves_the_first_configuration_alone() -> None:
    before = Stage(plan())
    before.interval((400, 40))
    stage = Stage(plan(), saved=before.canaries.saved)
    stage.load(plan(digest="d2"))
    stage.load(plan())
    assert stage.view.phase is Phase.WATCHING


# --- what operators ask -----------------------------------------------------------------------------------------------


def test_promote_gives_the_canary_everything_and_ends_the_judging() -> None:
    stage = Stage(plan(steps=STEPS))
    stage.canaries.command(Action.PROMOTE, "chat/all", stage.now)
    assert stage.weights == (CanaryWeights("chat", "all", 0, 100),)
    assert stage.interval((400, 400)) == []


def test_abort_gives_it_nothing() -> None:
    stage = Stage(plan(steps=STEPS))
    stage.canaries.command(Action.ABORT, "chat", stage.now)
    assert (stage.view.phase, stage.view.reason, stage.weights) == (Phase.ABORTED, "by command", OUT)


def test_resume_begins_again_as_the_file_says_with_fresh_evidence() -> None:
    stage = Stage(plan(steps=STEPS))
    stage.interval((200, 1))
    stage.interval((400, 40))
    stage.canaries.command(Action.RESUME, "chat/all", stage.now)
    assert (stage.view.phase, stage.view.step, stage.weights[0].canary) == (Phase.PROGRESSING, 1, 1)
    assert stage.view.canary.trials == 0
    assert stage.interval((200, 1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("talk", "there is no canary 'talk'; there is chat/all, chat/each, code/all"),
        ("chat", "'chat' has several canaries: chat/all, chat/each"),
    ],
)
def test_a_name_of_none_or_of_several_is_refused_with_all_that_there_is(name: str, message: str) -> None:
    stage = Stage(plan(), plan("each"), plan(route="code"))
    with pytest.raises(CanaryError) as raised:
        stage.canaries.command(Action.ABORT, name, stage.now)
    assert str(raised.value) == message
    assert stage.canaries.command(Action.ABORT, "code", stage.now).plan.route == "code"


def test_where_there_is_no_canary_at_all_that_is_said() -> None:
    stage = Stage()
    with pytest.raises(CanaryError, match="there is no canary 'chat'; there is none"):
        stage.canaries.command(Action.ABORT, "chat", stage.now)
    assert stage.canaries.due is None


def test_the_next_judgement_is_that_of_the_first_that_is_due() -> None:
    stage = Stage(plan())
    stage.steady += 10.0
    stage.load(plan(), plan("each"))
    assert stage.canaries.due == 1_060.0
    stage.canaries.command(Action.ABORT, "chat/all", stage.now)
    assert stage.canaries.due == 1_070.0
