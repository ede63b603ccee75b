"""The library in Python: the code of the README is run as it is written there, and the rest."""

import contextlib
import dataclasses
import re
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest

import nerf
from nerf.training.image_task import image_task
from tests.conftest import ROOT
from tests.support.small_scenes import write_small_tabletop

SMALL = {
    "steps": 40,
    "steps_per_call": 10,
    "log_every": 10,
    "save_every": 40,
    "batch_size": 64,
    "chunk": 576,
}
# What a test changes in the Python of the README, so that it takes seconds.
SHORTER = {
    '"ngp", {"batch_size": 2048}': f'"tiny", {SMALL}',
    "max_seconds=60": "max_seconds=1",
    "frames=48": "frames=2",
    '"report.html"': '"report.html", frames=0',
}


def readme_block() -> str:
    """Return the Python of the README, with shorter runs."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^## In Python\n+```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for long, short in SHORTER.items():
        assert code.count(long) == 1, long
        code = code.replace(long, short)
    return code


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """The variables of the README's Python after it ran; and "folder", where it ran."""
    folder, calls = tmp_path_factory.mktemp("readme"), []
    write_small_tabletop(folder / "data" / "tabletop", size=24)
    with contextlib.chdir(folder):
        # What the README leaves to the reader: a second run, and points with directions.
        other = nerf.train(
            nerf.load_config("tiny", {**SMALL, "seed": 1}),
            "data/tabletop",
            folder / "runs" / "other",
            max_seconds=1,
            on_call=lambda call, session: calls.append(call),
        )
        points = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 5, 3))
        names = {"points": points, "directions": np.broadcast_to([0.0, 0.0, -3.0], points.shape)}
        exec(compile(readme_block(), "README.md", "exec"), names)
    return {**names, "folder": folder, "other": other, "calls": calls}


def test_a_notebook_that_looks_at_a_run_imports_nothing_that_captures_checks_or_compares():
    code = "import sys, nerf; nerf.load_run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    imported = done.stdout.split()
    assert "nerf.rendering.images" in imported
    unneeded = ("nerf.capture", "nerf.check", "nerf.comparing", "matplotlib.figure")
    assert not [name for name in imported if name.startswith(unneeded)]


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


def test_the_readme_shows_an_image_as_an_array(readme):
    width, height = readme["run"].cameras["test"][0].size
    assert readme["image"].shape == (height, width, 3)
    assert 0.0 <= readme["image"].min() < readme["image"].max() <= 1.0


def test_the_readme_queries_points(readme):
    assert readme["values"]["density"].shape == (4, 5)
    assert readme["values"]["rgb"].shape == (4, 5, 3)
    assert readme["values"]["rgb"].min() >= 0.0 and readme["values"]["rgb"].max() <= 1.0


def test_the_readme_films_an_orbit(readme):
    assert len(imageio.imread(readme["folder"] / "orbit.mp4")) == 2


def test_the_readme_loads_a_run_that_renders_the_same(readme):
    again = readme["again"]
    np.testing.assert_array_equal(
        nerf.render_image(again, again.cameras["test"][0])["rgb"], readme["image"]
    )


def test_runs_and_scenes_are_shown_in_one_line(readme):
    shown = repr(readme["run"])
    step = readme["run"].step
    assert shown == f"Run({readme['run'].folder}, step {step}, views: 34 train, 2 test)"
    scene = nerf.load_scene(readme["folder"] / "data" / "tabletop")
    assert repr(scene) == "Scene(34 views, 24x24, with alpha)"
    wider = dataclasses.replace(
        scene,
        images=[np.zeros((3, 5, 3), np.uint8) for _ in scene.images],
        maps={"mask": [np.ones((3, 5), bool) for _ in scene.images]},
    )
    assert repr(wider) == "Scene(34 views, 5x3, without alpha, maps: mask)"


def test_the_readme_compares_two_runs(readme):
    assert readme["numbers"]["verdict"]
    assert "mine" in (readme["folder"] / "report.html").read_text(encoding="utf-8")


def test_training_reports_every_call_and_leaves_results(readme):
    run, calls = readme["other"], readme["calls"]
    assert [call.step for call in calls] == list(range(10, run.step + 1, 10))
    assert all(call.metrics["psnr"].shape == (10,) for call in calls)
    assert run.results["steps"] == run.step > 0 and run.results["psnr"] > 5.0


def test_an_image_is_rendered_in_another_size(readme):
    run = readme["run"]
    camera = run.cameras["test"][0]
    width, height = camera.size
    larger = nerf.render_image(run, camera, scale=2)["rgb"]
    assert larger.shape == (2 * height, 2 * width, 3)
    reduced = larger.reshape(height, 2, width, 2, 3).mean((1, 3))
    assert np.abs(reduced - readme["image"]).mean() < 0.02


def test_a_query_is_in_the_units_and_axes_of_the_scenes_file(readme):
    """The same place in a world twice as large has half the density, and the same colour."""
    run, points, directions = (readme[name] for name in ("run", "points", "directions"))
    half = dataclasses.replace(run.transform, scale=run.transform.scale / 2)
    larger = nerf.query(
        dataclasses.replace(run, transform=half),
        half.points_back(run.transform.points(points)),
        directions,
    )
    np.testing.assert_allclose(larger["density"], readme["values"]["density"] / 2, rtol=1e-4)
    np.testing.assert_allclose(larger["rgb"], readme["values"]["rgb"], rtol=1e-4)


def test_a_config_for_one_image_is_that_of_the_command():
    changes = {"scene.max_side": 64}
    config = nerf.load_config("systems/siren", changes, task="image")
    assert config == image_task(nerf.load_config("systems/siren", changes))
    assert config["scene"] == {"name": "nerf.scenes.picture:load", "max_side": 64}


def test_a_scene_of_photos_needs_pycolmap(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(nerf.UserError, match="pip install pycolmap$"):
        nerf.make_scene(ROOT / "data" / "tabletop" / "train", tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


def test_a_session_is_iterated_by_hand(readme):
    config = nerf.load_config("tiny", SMALL)
    session = nerf.Session(config, nerf.load_scene(readme["folder"] / "data" / "tabletop"))
    session.compile()
    steps = [call.step for call in session.calls(nerf.Budget(steps=20))]
    assert steps == [10, 20] and session.step == 20


def test_a_mistake_is_an_error_of_one_line():
    with pytest.raises(nerf.UserError, match="^/nowhere: no such folder"):
        nerf.load_scene("/nowhere")
    with pytest.raises(nerf.UserError, match="batch_sise"):
        nerf.load_config("ngp", {"batch_sise": 3})
    with pytest.raises(nerf.UserError, match="^task=picture: no such task"):
        nerf.load_config("ngp", task="picture")
