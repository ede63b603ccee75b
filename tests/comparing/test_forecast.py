"""What a study takes: assumed, then measured, config by config."""

import pytest

from nerf.comparing.forecast import ASSUMED_OVERHEAD, Forecast, duration
from nerf.evaluation.interim import SHARE


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr("nerf.comparing.forecast.time.monotonic", lambda: Clock.now)
    return Clock


def test_durations_are_rounded_as_one_says_them():
    assert [duration(x) for x in (0.4, 40.4, 100.0, 3000.0, 4800.0)] == [
        "0 s",
        "40 s",
        "2 min",
        "50 min",
        "80 min",
    ]
    assert duration(7800.0) == "2 h 10 min"


def test_before_any_run_has_ended_the_budget_tells_and_then_the_runs_do(clock):
    study = Forecast([("fast", 15.0), ("slow", 15.0)] * 2)
    assert study.left() == pytest.approx(4 * (15 * (1 + SHARE) + ASSUMED_OVERHEAD))
    study.begin(0, "fast", 15.0)
    clock.now = 10.0
    assert study.left() == pytest.approx(4 * (15 * (1 + SHARE) + ASSUMED_OVERHEAD) - 10.0), (
        "what has run is off"
    )
    clock.now = 25.0
    assert study.end(0, finished=True) == 25.0
    assert study.left() == pytest.approx(3 * 25.0), "10 s beside the budget"
    assert study.after() == "; study: at least 75 s left", "the other config may be slower"
    study.begin(1, "slow", 15.0)
    clock.now += 115.0
    assert study.left() == pytest.approx(2 * 25.0), "a run that is late takes no negative time"
    study.end(1, finished=True)
    assert (
        study.left() == pytest.approx(25.0 + 115.0) and study.after() == "; study: about 2 min left"
    )


def test_what_a_run_says_of_itself_counts_where_it_is_slower_than_was_assumed(clock):
    study = Forecast([("slow", 15.0)] * 2)
    study.begin(0, "slow", 15.0)
    clock.now = 40.0
    study.hear(0, "evaluate 2/20, 100.0 s/view, 1800 s left")
    clock.now = 100.0
    assert study.left() == pytest.approx((1840 - 100) + 1840), "the second takes as long"
    study.hear(0, "train 99%, step 10, 1 s left, train PSNR 3.0")
    assert study.left() == pytest.approx(101.0 - 100.0 + 101.0)
    study.hear(0, "starting")
    study.end(0, finished=True)
    assert study.left() == pytest.approx(100.0)
    study.begin(1, "slow", 15.0)
    study.hear(1, "evaluate 2/20, 100.0 s/view, 1800 s left")
    assert study.left() == pytest.approx(1800.0), "this one is slower than the first"
    bounded_by_steps = Forecast([("a", None)] * 2)
    bounded_by_steps.begin(0, "a", None)
    assert bounded_by_steps.left() is None
    bounded_by_steps.hear(0, "train 10%, step 10, 45 s left")
    assert bounded_by_steps.left() == pytest.approx(45.0 + 45.0), "at least what the training takes"


def test_runs_bounded_by_steps_tell_after_the_first_and_failures_tell_nothing(clock):
    study = Forecast([("a", None), ("b", None), ("b", None)])
    assert (
        study.left() is None
        and study.after() == ""
        and "is estimated once the first run has ended" in study.before()
    )
    study.begin(0, "a", None)
    clock.now = 3.0
    study.end(0, finished=False)
    assert study.left() is None
    study.begin(1, "b", None)
    clock.now = 43.0
    study.end(1, finished=True)
    assert study.left() == pytest.approx(40.0)


def test_several_at_a_time_share_the_work_and_earlier_runs_count(clock):
    study = Forecast([("a", None)] * 4, jobs=2, known={"a": [50.0, 70.0], "b": []})
    assert study.left() == pytest.approx(120.0)
    assert study.before() == "4 runs to train: about 2 min, as earlier runs of these configs took"
    filmed = Forecast([("a", None)], known={"a": [50.0]}, frames=96)
    assert filmed.before().endswith("of these configs took; then the fly-throughs")
    for number in range(3):
        study.begin(number, "a", None)
        clock.now += 20.0
        if number:
            study.end(number - 1, finished=False)
    study.end(2, finished=True)
    study.begin(3, "a", None)
    assert study.left() == pytest.approx((50 + 70 + 20) / 3), "the last run is not shared"


def test_fly_throughs_are_part_of_a_study(clock):
    study = Forecast([("fast", 15.0), ("slow", 15.0)], frames=48)
    study.measured_frame("slow", None)
    study.begin(0, "fast", 15.0)
    clock.now = 25.0
    study.end(0, finished=True)
    study.measured_frame("fast", 0.5)
    assert study.left() == pytest.approx(25.0 + 24.0), "the other config's frames are not known"
    study.begin(1, "slow", 15.0)
    assert "at least" in study.after()
    study.measured_frame("slow", 10.0)
    clock.now += 20.0
    assert study.left() == pytest.approx(5.0 + 24.0 + 480.0)
    assert Forecast([("a", 15.0)] * 2, jobs=2, frames=0).left() == pytest.approx(
        15 * (1 + SHARE) + ASSUMED_OVERHEAD
    )
