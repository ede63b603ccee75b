"""Long work reports itself without a terminal: what is done, how fast, how long it will take."""

import re

import pytest

from nerf.foundation import progress
from nerf.foundation.progress import Meter, track
from nerf.runs.budget import Budget
from nerf.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_lines_come_every_ten_seconds_and_the_first_unit_may_be_slow(clock, capsys):
    with Meter("evaluate", "view", 5) as meter:
        for seconds, psnr in ((30.0, 20), (2.0, 21), (2.0, 22), (7.0, 23)):
            clock.now += seconds
            meter.add(note=f"mean PSNR {psnr}")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "evaluate 1/5, 30 s so far, mean PSNR 20"
    assert second == "evaluate 4/5, 3.7 s/view, 4 s left, mean PSNR 23"


def test_work_of_less_than_ten_seconds_says_nothing(clock, capsys):
    for _ in track(range(3), "render", "frame", 3):
        clock.now += 3.0
    assert capsys.readouterr().err == ""


def test_a_unit_that_takes_minutes_is_told_from_within(clock, capsys):
    with Meter("evaluate", "view", 2) as meter:
        for share in (0.1, 0.2, 0.3):  # the first tenth compiles, too
            clock.now += 20.0 if share > 0.1 else 60.0
            meter.within(share)
        clock.now += 140.0
        meter.add(note="mean PSNR 20")
        clock.now += 20.0
        meter.within(0.1)
    assert capsys.readouterr().err.splitlines() == [
        "evaluate 0/2, 60 s so far",
        "evaluate 0/2, 200.0 s/view, 360 s left",
        "evaluate 0/2, 200.0 s/view, 340 s left",
        "evaluate 1/2, 240 s so far, mean PSNR 20",
        "evaluate 1/2, 200.0 s/view, 180 s left, mean PSNR 20",
    ]


def test_what_is_left_of_a_resumed_run_is_told_by_its_own_speed(clock, capsys):
    """An earlier process may have had another machine."""
    shown = Progress(Budget(1000), step=500, seconds=5000.0)
    clock.now = 11.0
    shown.update(600, 5010.0, 20.0)
    assert re.search(r"train 60%, step 600, 10.0 steps/s, 40 s left", capsys.readouterr().err)
