"""The library as a notebook uses it: the calls of the README, in order."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import nerf
from tests.conftest import ROOT

SMALL = {
    "steps": 40,
    "steps_per_call": 10,
    "log_every": 10,
    "save_every": 40,
    "batch_size": 64,
    "scene.max_side": 25,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, and the calls that its training reported."""
    folder, calls = tmp_path_factory.mktemp("runs") / "first", []
    config = nerf.load_config("tiny", SMALL)
    scene = ROOT / "data" / "tabletop"
    run = nerf.train(config, scene, folder, on_call=lambda call, session: calls.append(call))
    return run, calls


def test_importing_the_library_imports_nothing_heavy():
    code = (
        "import sys, nerf; nerf.__version__;"
        " print('jax' in sys.modules, sorted(dir(nerf)) == sorted(nerf.__dir__()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
    assert all(callable(getattr(nerf, name)) for name in nerf.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        nerf.trian  # noqa: B018


def test_training_reports_every_call_and_leaves_a_run(trained):
    run, calls = trained
    assert [call.step for call in calls] == [10, 20, 30, 40]
    assert all(call.metrics["psnr"].shape == (10,) for call in calls)
    assert json.loads((run.folder / "results.json").read_text())["steps"] == run.step == 40


def test_a_frame_is_an_array_that_a_run_loaded_later_renders_again(trained):
    run, _ = trained
    image = nerf.render_image(run, run.cameras["test"][0])
    width, height = run.cameras["test"][0].size
    assert image["rgb"].shape == (height, width, 3) and image["depth"].shape == (height, width)
    again = nerf.load_run(run.folder)
    np.testing.assert_array_equal(
        nerf.render_image(again, again.cameras["test"][0])["rgb"], image["rgb"]
    )


def test_a_query_is_in_the_units_and_axes_of_the_scenes_file(trained):
    """The same place in a world twice as large has half the density, and the same colour."""
    run, _ = trained
    points = run.transform.points_back(np.random.default_rng(0).uniform(-0.5, 0.5, (4, 5, 3)))
    directions = np.broadcast_to([0.0, 0.0, -3.0], points.shape)
    seen = nerf.query(run, points, directions)
    assert seen["density"].shape == (4, 5) and seen["rgb"].shape == (4, 5, 3)
    assert seen["rgb"].min() >= 0.0 and seen["rgb"].max() <= 1.0
    half = dataclasses.replace(run.transform, scale=run.transform.scale / 2)
    larger = nerf.query(
        dataclasses.replace(run, transform=half),
        half.points_back(run.transform.points(points)),
        directions,
    )
    np.testing.assert_allclose(larger["density"], seen["density"] / 2, rtol=1e-4)
    np.testing.assert_allclose(larger["rgb"], seen["rgb"], rtol=1e-4)


def test_a_path_is_rendered_to_a_video(trained, tmp_path):
    video = nerf.render(
        trained[0], tmp_path / "orbit.mp4", path="orbit", frames=2, width=16, height=16
    )
    assert video.stat().st_size > 500


def test_runs_are_compared(trained, tmp_path):
    run, _ = trained
    config = nerf.load_config(str(run.folder), {"seed": 1})
    nerf.train(config, ROOT / "data" / "tabletop", run.folder.with_name("second"))
    numbers = nerf.compare(
        [run.folder, run.folder.with_name("second")], tmp_path / "page.html", frames=0
    )
    assert numbers["verdict"] and (tmp_path / "page.html").exists()


def test_a_session_is_iterated_by_hand():
    config = nerf.load_config("tiny", {**SMALL, "batch_size": 32})
    session = nerf.Session(config, nerf.load_scene(ROOT / "data" / "tabletop", max_side=25))
    session.compile()
    steps = [call.step for call in session.calls(nerf.Budget(steps=20))]
    assert steps == [10, 20] and session.step == 20


def test_a_mistake_is_an_error_of_one_line():
    with pytest.raises(nerf.UserError, match="^/nowhere: no such folder"):
        nerf.load_scene("/nowhere")
    with pytest.raises(nerf.UserError, match="batch_sise"):
        nerf.load_config("ngp", {"batch_sise": 3})
