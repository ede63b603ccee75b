"""A number in a batch, a gradient or a parameter that is not finite is told by step and name.

It is never saved.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.foundation.instantiate import ConfigError
from nerf.runs.checkpoints import Checkpoints
from nerf.training import session
from nerf.training.loop import TrainingError, train
from nerf.training.ray_bank import HostRayBank
from nerf.training.step import prepare
from tests.training.test_training import final_state, synthetic


@pytest.fixture
def bad_batch(monkeypatch):
    """Cameras without a position in the call that begins with step 20."""
    make_loader = session.make_loader

    def broken(*arguments):
        pixels = make_loader(*arguments)

        def at(step):
            whole = pixels(step)
            cameras = dataclasses.replace(whole.cameras, c2w=whole.cameras.c2w * jnp.nan)
            return dataclasses.replace(whole, cameras=cameras) if step == 20 else whole

        return at

    monkeypatch.setattr(session, "make_loader", broken)


def saved(workdir):
    """The steps that were saved, all of them finite."""
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    for step in checkpoints.steps():
        assert all(np.isfinite(array).all() for array in checkpoints.read(step)[0].values())
    return checkpoints.steps()


def test_a_bad_batch_stops_training_at_its_step(tmp_path, bad_batch):
    with pytest.raises(
        TrainingError,
        match=r"^step 20: a ray or a colour of the batch is not finite: .*max_skipped",
    ):
        train(synthetic(), None, tmp_path)
    assert saved(tmp_path) == [20, 30]
    message = "10 of its steps were skipped, .*: resume with --config.max_skipped=10 or more, or"
    with pytest.raises(ConfigError, match=message):
        train(synthetic(max_skipped=9), None, tmp_path)
    assert train(synthetic(max_skipped=10), None, tmp_path)["skipped_steps"] == 10


def test_a_bad_batch_may_be_left_out_and_the_steps_are_counted(tmp_path, bad_batch, capsys):
    results = train(synthetic(max_skipped=10), None, tmp_path)
    assert (results["skipped_steps"], results["steps"]) == (10, 40)
    assert (
        "step 20: a ray or a colour of the batch is not finite: 10 steps skipped, 10 of "
        in capsys.readouterr().err
    )
    assert saved(tmp_path) == [20, 40]
    logged = [
        json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert 30 not in logged and logged[-1] == 40
    with pytest.raises(TrainingError, match="^step 20"):
        train(synthetic(max_skipped=9), None, tmp_path / "fewer")


@pytest.mark.parametrize("per_call", [5, 10])
def test_a_bad_step_is_skipped_alone_however_many_steps_a_call_takes(
    tmp_path, monkeypatch, capsys, per_call
):
    """In step 23 a ray belongs to a camera without a position."""

    def make_loader(scene, seed, batch, count, limit, everywhere, views):
        bank = HostRayBank(scene, seed, batch, count, views=views)
        nowhere = jax.tree.map(lambda x: np.asarray(x[:1]), scene.cameras)
        nowhere = dataclasses.replace(nowhere, c2w=nowhere.c2w * np.nan)
        cameras = jax.tree.map(lambda *x: np.concatenate(x), scene.cameras, nowhere)

        def at(step):
            pixels = bank(step)
            image = pixels.image.copy()
            if step <= 23 < step + count:
                image[23 - step, 7] = len(scene.images)
            return everywhere(dataclasses.replace(pixels, image=image, cameras=cameras))

        return at

    def run(name, **changes):
        train(synthetic(**changes), None, tmp_path / name)
        return final_state(tmp_path / name)

    undisturbed = run("whole", steps=20)
    monkeypatch.setattr(session, "make_loader", make_loader)
    before = run("before", steps=20)
    for name, array in undisturbed.items():
        np.testing.assert_array_equal(before[name], array)
    found = run("run", max_skipped=1, steps_per_call=per_call)
    assert (
        "step 23: a ray or a colour of the batch is not finite: 1 step skipped, 1 of 1 at most"
        in (capsys.readouterr().err)
    )
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["skipped_steps"], results["steps"]) == (1, 40)
    # The other steps of the call are logged.
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines if json.loads(line)["split"] == "train"]
    assert [line["step"] for line in logged] == [10, 20, 30, 40]
    assert all(np.isfinite(line["psnr"]) for line in logged)
    other = run("other", max_skipped=1, steps_per_call=20, log_every=20, save_every=20)
    for name, array in found.items():
        np.testing.assert_array_equal(other[name], array)


def test_a_bad_gradient_is_told_by_the_name_of_its_parameter(tmp_path):
    config = synthetic()
    config["losses"]["bad"] = {"name": "tests.support.plugins:BadGradient"}
    with pytest.raises(
        TrainingError, match=r"^step 0: the gradient of stages/\d/field/[\w/]+ is not finite: "
    ):
        train(config, None, tmp_path, plugins=("tests",))
    assert saved(tmp_path) == [10]


def with_bad_parameter(config, scene, plugins, mesh):
    """A trainer whose first state has an infinite parameter."""
    prepared = prepare(config, scene, plugins, mesh)
    leaves, structure = jax.tree.flatten(prepared.state.params)
    leaves[3] = leaves[3].at[0].set(jnp.inf)
    params = jax.tree.unflatten(structure, leaves)
    return prepared._replace(state=dataclasses.replace(prepared.state, params=params))


def test_a_bad_parameter_is_told_by_its_name_and_not_saved(tmp_path):
    trainer = {"name": f"{__name__}:with_bad_parameter"}
    with pytest.raises(
        TrainingError,
        match=r"^step 0: params/stages/\d/field/[\w/]+ is not finite: use a new --workdir",
    ):
        train(synthetic(trainer=trainer), None, tmp_path, plugins=("tests",))
    assert saved(tmp_path) == []
