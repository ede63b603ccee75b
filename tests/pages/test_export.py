"""The size of a page is limited, and a limit that is too small is found before anything long."""

import numpy as np
import pytest

from nerf.foundation.errors import UserError
from nerf.output.video_rendering import cropped
from nerf.pages import baking
from nerf.pages.export import export_page
from nerf.paths.keyframe_reader import Crop
from nerf.scenes import Similarity
from tests.viewer.ball_run import make_run


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(baking, "MAX_RESOLUTION", 96)
    monkeypatch.setattr(baking, "SEEN_RAYS", 8192)


@pytest.mark.long
def test_a_page_is_no_larger_than_the_limit_and_a_crop_makes_it_smaller(tmp_path):
    run = make_run(tmp_path / "ball")
    whole = export_page(run, tmp_path / "whole.html", 2.0)
    small = export_page(run, tmp_path / "small.html", 0.7)
    assert small.size == (tmp_path / "small.html").stat().st_size
    assert 0.3e6 < small.size <= 0.7e6 < whole.size <= 2.0e6
    # An octant of the ball, in the units of the file.
    centre = run.transform.points_back(np.array([0.5, 0.5, 0.5]))
    octant = cropped(run, Crop(Similarity(shift=-centre), (3.0, 3.0, 3.0), None))
    part = export_page(octant, tmp_path / "part.html", 2.0)
    assert part.size < 0.4 * whole.size


def test_a_limit_without_room_for_a_picture_is_refused_at_once(tmp_path):
    run = make_run(tmp_path / "ball")
    with pytest.raises(UserError, match=r"--page_mb=0.3: too small .*: give 0.5\d or more"):
        export_page(run, tmp_path / "page.html", 0.3)
    assert not (tmp_path / "page.html").exists()
