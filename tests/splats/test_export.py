"""Exports of splats: what is written, its score, and what is refused before anything long."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.foundation.errors import UserError
from nerf.foundation.locks import exclusive
from nerf.output.video_rendering import cropped
from nerf.paths.crops import read_crop
from nerf.rendering.model import Model, Stage
from nerf.runs.lock import OWNER_FILE, InUse, check_free, run_lock
from nerf.sampling.spaces import Plane
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import synthetic
from nerf.splats import export, fine_tuning
from nerf.splats.export import check_run, export_splats, splats_within
from nerf.splats.files import bytes_per_splat
from nerf.splats.scoring import Score, score_splats
from tests.output.test_export import CENTRE, MOVED, RADIUS, run_of
from tests.splats.reading import read_glb, read_ply


@pytest.fixture(scope="module")
def run():
    """Return a run of a ball that nobody trained, and whose photos are nowhere."""
    scenes = {
        split: synthetic.load(None, split, size=32, views=views)
        for split, views in (("train", 24), ("test", 3))
    }
    cameras = {split: scene.cameras for split, scene in scenes.items()}
    names = {split: list(scene.names) for split, scene in scenes.items()}
    made = run_of(cameras, names)
    return dataclasses.replace(made, config={**made.config, "eval_split": "test"})


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(export, "MAX_SPLATS", 1500)
    monkeypatch.setattr(fine_tuning, "STEPS", 20)


@pytest.fixture
def nothing_long(monkeypatch):
    def refuse(*_):
        raise AssertionError("this is checked before anything long")

    monkeypatch.setattr(export, "fit_splats", refuse)


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_the_file_has_the_surface_in_the_units_of_the_scene(run, few, tmp_path, suffix):
    path = tmp_path / "new folder" / f"ball{suffix}"
    done = export_splats(run, path, 10.0)
    assert done.path == path and done.size == path.stat().st_size < 1e6
    found = {".ply": read_ply, ".glb": read_glb}[suffix](path)
    assert len(found.means) == len(done.splats) > 1000
    # A ball that is 37 across; in a .glb file it is turned, so that +y is up.
    np.testing.assert_allclose(np.ptp(found.means, axis=0), 2 * 37 * RADIUS, rtol=0.1)
    away = np.linalg.norm(done.splats.means - CENTRE, axis=-1)
    assert np.quantile(np.abs(away - RADIUS), 0.9) < 0.03
    if suffix == ".ply":
        np.testing.assert_allclose(MOVED.points(found.means), done.splats.means, atol=1e-5)


@pytest.mark.long
def test_without_photos_the_splats_are_compared_with_the_field(run, few, tmp_path):
    done = export_splats(run, tmp_path / "ball.ply", 10.0)
    score = score_splats(run, done.splats, tmp_path)
    assert score is not None and score.field is None and score.views == 3
    assert score.splats > 17.0
    assert "dB against the field, over 3 views (test): the scene's photos are not" in str(score)
    nowhere = dataclasses.replace(done.splats, opacities=0.0 * done.splats.opacities)
    assert score_splats(run, nowhere, tmp_path).splats < score.splats - 5.0
    without = dataclasses.replace(run, cameras={"train": run.cameras["train"]})
    assert score_splats(without, done.splats, tmp_path) is None


def test_the_score_is_one_line_with_both_figures():
    line = str(Score(25.871, 28.621, 20, "test", ""))
    assert line == "PSNR 25.87 dB, of the field 28.62 dB, over 20 views (test)"


@pytest.mark.long
def test_a_crop_keeps_what_is_in_its_box(run, few, tmp_path):
    centre = MOVED.points_back(CENTRE)
    crop = {"center": centre.tolist(), "size": [100, 100, 10]}
    (tmp_path / "crop.json").write_text(json.dumps(crop))
    part = cropped(run, read_crop(tmp_path / "crop.json"))
    done = export_splats(part, tmp_path / "part.ply", 10.0)
    found = read_ply(tmp_path / "part.ply").means - centre
    assert np.abs(found[:, 2]).max() <= 5.0 and np.abs(found[:, :2]).max() > 0.9 * 37 * RADIUS
    score = score_splats(part, done.splats)
    assert score.field is None and "outside of the crop" in str(score)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_the_budget_decides_the_number_of_splats_and_their_colours(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert splats_within(path, 1000.0) == (export.MAX_SPLATS, export.DEGREE)
    for megabytes in (0.1, 0.5, 1.0, 2.0, 3.0):
        count, degree = splats_within(path, megabytes)
        assert export.MIN_SPLATS <= count <= megabytes * 1e6 / bytes_per_splat(suffix, degree)
        assert degree == 0 or count >= export.MAX_SPLATS // 2
    with pytest.raises(UserError, match=r"--splats_mb=0.01: too small .*: give 0.0\d or more"):
        splats_within(path, 0.01)


def test_the_least_budget_that_is_named_is_enough(tmp_path):
    for suffix in (".ply", ".glb"):
        with pytest.raises(UserError) as raised:
            splats_within(tmp_path / f"a{suffix}", 0.0)
        named = float(str(raised.value).split("give ")[1].split()[0])
        assert splats_within(tmp_path / f"a{suffix}", named) == (export.MIN_SPLATS, 0) or (
            splats_within(tmp_path / f"a{suffix}", named)[0] < export.MIN_SPLATS + 200
        )


def no_colour(samples):
    return {"density": jnp.ones(samples.points.shape[:-1])}


def broken(run, name):
    """Return a run that splats cannot be made of."""
    if name == "no colour":
        model = Model({"main": Stage(UniformSteps(8), no_colour)}, ("main",))
        return dataclasses.replace(run, model=model)
    if name == "a picture":
        return dataclasses.replace(
            run, model=Model({"main": Stage(UniformSteps(1), no_colour)}, ("main",), Plane())
        )
    return dataclasses.replace(run, cameras={"train": run.cameras["train"][:0]})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no colour", "returns no 'rgb'"),
        ("a picture", "a.ply: splats need training cameras in space"),
        ("no cameras", "a.ply: splats need training cameras in space"),
    ],
)
def test_runs_without_colours_or_cameras_are_refused_in_one_line(
    run, nothing_long, tmp_path, name, message
):
    with pytest.raises(UserError, match=message) as raised:
        export_splats(broken(run, name), tmp_path / "a.ply", 10.0)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "a.ply").exists()


def test_a_file_that_cannot_be_written_is_refused_first(run, nothing_long, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.ply", tmp_path):
        target = path if path.suffix else tmp_path / "folder.ply"
        if not path.suffix:
            target.mkdir()
        with pytest.raises(UserError, match="cannot be written|it is a folder"):
            export_splats(run, target, 10.0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.ply"]


def test_a_run_that_is_being_trained_is_refused(run, nothing_long, tmp_path):
    with run_lock(tmp_path):
        pass  # what the process has left behind holds nothing
    check_free(tmp_path)
    owner = '{"pid": 12, "host": "there", "since": "today"}'
    with exclusive(tmp_path / OWNER_FILE) as file:
        file.write(owner)
        file.flush()
        with pytest.raises(InUse, match="in use by process 12 on there since today"):
            export_splats(dataclasses.replace(run, folder=tmp_path), tmp_path / "a.ply", 10.0)
        assert (tmp_path / OWNER_FILE).read_text() == owner
    check_run(dataclasses.replace(run, folder=tmp_path), tmp_path / "a.ply")
    with run_lock(tmp_path):
        check_free(tmp_path)  # its own holder may look
