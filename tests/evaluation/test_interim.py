"""Scoring on the way takes a bounded share of a run.

It uses views that any two runs have in common, evenly over the budget.
"""

import json

import numpy as np
import pytest

from nerf.evaluation.interim import FEWEST_VIEWS, FORWARD, SHARE, InterimScoring, spread_order

SIDE, BATCH = (
    64,
    4096,
)  # a view is one batch of rays, so that a step takes 1 / FORWARD times as long as a view


def trained(times, views, seconds, per_view, measured=None, steps=1000):
    """The places (fractions of the budget) at which a run was scored, and its InterimScoring."""
    interim = InterimScoring(times, np.full((views, 2), SIDE), BATCH)
    places = []
    guess = per_view / FORWARD  # seconds of a step
    for step in range(1, steps + 1):
        fraction = step / steps
        if interim.due(fraction, step, step * guess) is not None:
            places.append(fraction)
            interim.record(per_view if measured is None else measured)
    assert guess * steps == pytest.approx(seconds)
    return places, interim


def run(times, views, seconds, per_view, **more):
    steps = round(seconds * FORWARD / per_view)
    return trained(times, views, seconds, per_view, steps=steps, **more)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 100])
def test_every_beginning_of_the_order_is_spread_over_all_views(count):
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    for length in range(1, count + 1):
        gaps = np.diff([-1, *sorted(order[:length]), count])
        assert gaps.max() <= 2 * (count / length) + 2


def test_a_fast_field_is_scored_on_all_views_as_often_as_was_asked():
    places, interim = run(times=8, views=20, seconds=300.0, per_view=0.1)
    np.testing.assert_allclose(places, np.arange(1, 8) / 8, atol=0.01)
    assert interim.chosen == list(range(20))
    assert interim.protocol() == {"interim": "7 scorings on 20 of 20 views, by PSNR and SSIM"}


@pytest.mark.parametrize("per_view", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("views", [4, 20, 100])
def test_scoring_on_the_way_takes_no_more_than_its_share(per_view, views):
    seconds = 30.0
    places, interim = run(times=8, views=views, seconds=seconds, per_view=per_view)
    spent = len(places) * len(interim.chosen) * per_view
    assert 0 < spent <= SHARE * (seconds + views * per_view) * 1.01
    assert places[0] <= 0.51, "there is a score in the first half"
    if len(places) < 7:
        assert len(interim.chosen) <= FEWEST_VIEWS, "fewer views come before fewer times"


def test_the_only_scoring_that_the_share_allows_is_of_a_few_views_in_the_middle():
    places, interim = run(times=8, views=4, seconds=12.0, per_view=1.0)
    np.testing.assert_allclose(places, [0.5], atol=0.3 / 4)
    assert len(interim.chosen) == FEWEST_VIEWS == SHARE * (12 + 4)


def test_a_field_that_is_slower_than_it_seemed_is_scored_less_often():
    places, interim = run(times=8, views=20, seconds=60.0, per_view=0.1, measured=1.0)
    spent = len(places) * len(interim.chosen) * 1.0
    assert spent <= SHARE * (60.0 + 20.0) + len(interim.chosen), "only the first was not known"


def test_a_field_that_is_faster_than_it_seemed_is_scored_as_often_as_was_asked():
    seeming, _ = run(times=8, views=20, seconds=60.0, per_view=1.0)
    places, _ = run(times=8, views=20, seconds=60.0, per_view=1.0, measured=0.01)
    assert len(seeming) == 5 and len(places) == 7


def test_even_the_slowest_field_has_one_view_in_the_middle():
    places, interim = run(times=8, views=2, seconds=30.0, per_view=10.0, measured=10.0)
    assert interim.done == len(places) <= 1
    places, interim = run(times=8, views=5, seconds=30.0, per_view=1.0, measured=100.0)
    assert interim.done == 1


def test_runs_of_unlike_speed_have_views_in_common():
    chosen = [set(run(8, 20, 30.0, per_view)[1].chosen) for per_view in (0.02, 0.1, 0.5)]
    assert chosen[2] < chosen[1] < chosen[0]


def test_a_resumed_run_keeps_its_views_and_its_count(tmp_path):
    lines = [
        {"step": 10, "split": "train", "psnr": 3.0},
        {"step": 20, "split": "test", "views": [1, 4], "psnr": 3.0},
        {"step": 20, "split": "test", "psnr": 3.0},
    ]
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3'
    )
    interim = InterimScoring(4, np.full((6, 2), SIDE), BATCH, fraction=0.3)
    interim.resume(tmp_path / "metrics.jsonl", "test")
    assert interim.chosen == [1, 4] and interim.done == 1
    assert interim.protocol() == {"interim": "1 scoring on 2 of 6 views, by PSNR and SSIM"}
    assert interim.due(0.4, 40, 40.0) is None, "this place has passed"
    assert interim.due(0.5, 50, 5000.0) == [1, 4]


def test_no_scoring_is_due_without_views_or_times():
    assert InterimScoring(8, np.zeros((0, 2)), BATCH).due(0.5, 50, 50.0) is None
    assert InterimScoring(0, np.full((6, 2), SIDE), BATCH).due(0.5, 50, 50.0) is None
    assert InterimScoring(1, np.full((6, 2), SIDE), BATCH).due(0.9, 50, 50.0) is None
