"""A budget is one clock.

A run continues under a larger one, on record, and is never lost under a smaller one.
"""

import numpy as np
import pytest

from nerf.foundation.instantiate import ConfigError
from nerf.runs.budget import Budget, change_budget, describe_change


def facts_of(step, seconds, steps=100, max_seconds=None, extended=()):
    return {
        "step": step,
        "seconds": seconds,
        "steps": steps,
        "max_seconds": max_seconds,
        "extended": list(extended),
    }


def test_where_seconds_are_given_steps_count_for_nothing():
    clock = Budget(steps=100, max_seconds=600.0)
    assert clock.fraction(step=10**6, seconds=60.0) == pytest.approx(0.1)
    assert clock.fraction(step=0, seconds=600.1) == 1.0
    np.testing.assert_allclose(clock.fractions(10**6, 60.0, 4), np.full(4, 0.1), rtol=1e-6)
    assert clock.same_as(Budget(steps=7, max_seconds=600.0))


def test_where_none_are_given_each_step_has_its_own_fraction_whatever_the_time():
    steps = Budget(steps=100)
    assert steps.fraction(step=25, seconds=1e9) == 0.25
    np.testing.assert_allclose(steps.fractions(20, 1e9, 3), [0.20, 0.21, 0.22], rtol=1e-6)
    assert not steps.same_as(Budget(steps=100, max_seconds=5.0)) and not steps.same_as(Budget(101))


def test_the_same_budget_again_changes_nothing(tmp_path):
    assert change_budget(tmp_path, facts_of(100, 7.0), Budget(100)) == []
    assert change_budget(tmp_path, facts_of(100, 60.1, max_seconds=60.0), Budget(999, 60.0)) == []
    before = {"from": "60 s", "to": "90 s", "step": 100, "seconds": 60.1}
    assert change_budget(
        tmp_path, facts_of(150, 70.0, max_seconds=90.0, extended=[before]), Budget(1, 90.0)
    ) == [before]


@pytest.mark.parametrize(
    "facts, budget, change",
    [
        (facts_of(100, 60.0, max_seconds=60.0), Budget(100, 600.0), ("60 s", "600 s")),
        (facts_of(100, 60.0), Budget(400), ("100 steps", "400 steps")),
        (facts_of(100, 60.0), Budget(100, 90.0), ("100 steps", "90 s")),
        (facts_of(50, 60.0, max_seconds=60.0), Budget(100), ("60 s", "100 steps")),
        (facts_of(50, 10.0, max_seconds=600.0), Budget(100, 60.0), ("600 s", "60 s")),
    ],
    ids=[
        "more seconds",
        "more steps",
        "steps to seconds",
        "seconds to steps",
        "less, but more than was trained",
    ],
)
def test_another_budget_that_is_not_used_up_continues_the_run_on_record(
    tmp_path, facts, budget, change
):
    (record,) = change_budget(tmp_path, facts, budget)
    assert (record["from"], record["to"]) == change
    assert (record["step"], record["seconds"]) == (facts["step"], facts["seconds"])
    line = describe_change(tmp_path, record, budget)
    assert (
        "\n" not in line and f"from {change[0]} to {change[1]}" in line and "learning rate" in line
    )


@pytest.mark.parametrize(
    "facts, budget, says",
    [
        (
            facts_of(100, 60.0, max_seconds=60.0),
            Budget(100, 30.0),
            "60.0 s of its 60 s, and 30 s .* larger --max_seconds",
        ),
        (
            facts_of(100, 60.0),
            Budget(80),
            "100 steps of its 100 steps, and 80 steps .* larger --config.steps",
        ),
        (
            facts_of(100, 60.0),
            Budget(100, 60.0),
            "60.0 s of its 100 steps, and 60 s .* larger --max_seconds",
        ),
    ],
)
def test_a_budget_that_is_used_up_is_refused_with_what_was_trained(tmp_path, facts, budget, says):
    with pytest.raises(ConfigError, match=says) as error:
        change_budget(tmp_path, facts, budget)
    assert "\n" not in str(error.value) and "again" in str(error.value)
