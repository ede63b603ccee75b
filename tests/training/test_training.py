"""Training: exact resume, one loss on any number of devices, a stop at the first bad number."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import ngp, tiny
from nerf.foundation.devices import data_mesh
from nerf.foundation.files import write_json
from nerf.foundation.instantiate import ConfigError, build, build_inside
from nerf.rendering.images import make_render_image
from nerf.runs import checkpoints, read
from nerf.runs.checkpoints import flatten
from nerf.runs.read import load_run, reload_split
from nerf.training import nonfinite
from nerf.training.gradients import TrainState, init_state
from nerf.training.loop import TrainingError, train
from nerf.training.ray_bank import to_device
from nerf.training.session import Session
from nerf.training.step import make_train_step
from tests.conftest import ROOT
from tests.support import one_stage


def synthetic(config=None, **changes) -> dict:
    """A config on the closed-form scene, small enough for seconds; of one stage by default."""
    config = config or one_stage.get_config()
    config.scene = {"name": "nerf.scenes.synthetic:load", "size": 24, "views": 6}
    config.update({"steps": 40, "batch_size": 64, "save_every": 20, "log_every": 10, "chunk": 576})
    return {**json.loads(config.to_json()), **changes}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that was scored twice, and its results; tests change only copies."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    return folder, train(synthetic(eval_times=2), None, folder, tensorboard=True)


def final_state(workdir) -> dict[str, np.ndarray]:
    return checkpoints.Checkpoints(workdir / "checkpoints").read()[0]


@pytest.mark.parametrize("name", [pytest.param("annealed", marks=pytest.mark.slow), "ngp"])
def test_a_run_stopped_and_continued_ends_bit_identical_to_one_that_was_not(tmp_path, name):
    """Its log has one line a step, although the run lost its last steps."""
    config = small_ngp() if name == "ngp" else annealed()
    train(config, None, tmp_path / "whole")
    stop = StopAfter(calls=2)
    assert train(config, None, tmp_path / "parts", should_stop=stop) is None
    assert 0 < final_state(tmp_path / "parts")["step"] < config["steps"]
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write(
            '{"step": 30, "split": "train"}\n{"step": 3'
        )  # logged after the checkpoint, the last one torn
    train(config, None, tmp_path / "parts")
    whole, parts = final_state(tmp_path / "whole"), final_state(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for key in whole:
        np.testing.assert_array_equal(whole[key], parts[key], err_msg=key)
    if name == "annealed":
        assert whole["state/stages/0/field/encoding/progress"] == np.float32(
            0.975
        )  # at the last of 40 steps
    log = (tmp_path / "parts" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [10, 20, 30, 40]


class StopAfter:
    """Asks for a stop after so many calls of the step."""

    def __init__(self, calls: int):
        self.left = calls

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def annealed() -> dict:
    """Two stages, whose encodings are not alike."""
    config = synthetic(tiny.get_config())
    anneal(config["model"]["stages"]["coarse"]["field"])
    return config


def anneal(field: dict) -> None:
    """Let the frequencies of a field's encoding come one after the other until the end."""
    field["encoding"] = {
        "name": "nerf.encodings.annealed:Annealed",
        "encoding": field["encoding"],
        "window": {"name": "nerf.encodings.annealed:RaisedCosine"},
        "end": 1.0,
    }


def small_ngp() -> dict:
    config = synthetic(ngp.get_config(), batch_size=256)
    config["model"]["stages"]["main"]["field"]["encoding"].update(
        {"log2_table_size": 12, "num_levels": 4}
    )
    config["model"]["stages"]["main"]["sampler"]["num_samples"] = 48
    config["model"]["occupancy"]["resolution"] = 32
    return config


SEED_AND_RATE = (np.int32(0), np.float32(1.0))


def step_of(config, devices):
    scene = build(config["scene"], root=None, split="train")
    model = build(config["model"], rngs=nnx.Rngs(0), space=build(config["spaces"]["bounded"]))
    optimizer = build(config["optimizer"])
    graph, state = init_state(model, optimizer)
    losses = build_inside(config["losses"], (), {})
    step = make_train_step(
        graph,
        losses,
        optimizer,
        build(config["schedule"]),
        config["batch_size"],
        None,
        data_mesh(devices),
    )
    return step, state, to_device(scene)


@pytest.mark.whole
def test_the_result_does_not_depend_on_how_steps_are_divided_into_calls():
    """An annealed encoding and an occupancy grid change with the step, not with the call."""
    config = small_ngp()
    config["model"]["occupancy"]["refresh_every"] = 6
    anneal(config["model"]["stages"]["main"]["field"])
    step, state, pixels = step_of(config, jax.devices()[:1])

    def after(count):
        """Return the state after 24 steps, in calls of `count` steps."""
        now = jax.tree.map(jnp.copy, state)
        for call in np.arange(24, dtype=np.float32).reshape(-1, count) / 24:
            now, _ = step(now, pixels, call, *SEED_AND_RATE)
        return now

    whole = after(24)
    occupancy = jax.tree.leaves(whole.state["occupancy"])
    assert any(
        (a != b).any()
        for a, b in zip(occupancy, jax.tree.leaves(state.state["occupancy"]), strict=True)
    )
    for count in (12, 8, 2):
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(after(count)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_session_does_not_go_on_between_two_calls():
    """The grid's turn would come never again."""
    config = synthetic()
    session = Session(config, build(config["scene"], root=None, split="train"))
    with pytest.raises(ConfigError, match="steps_per_call=10: 15 steps .*: use that of the run"):
        session.resume(session.state, 15, 0.0, 0)
    session.resume(session.state, 20, 0.0, 0)


def test_a_step_is_a_function_of_its_arguments_alone():
    step, state, pixels = step_of(synthetic(), jax.devices()[:1])
    copies = [jax.tree.map(jnp.copy, state) for _ in range(2)]
    first, second = (step(copy, pixels, jnp.zeros(3), *SEED_AND_RATE)[0] for copy in copies)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


TWO_DEVICES = """
from tests.conftest import compile_quickly
compile_quickly()
import jax, jax.numpy as jnp, json, sys
from tests.training.test_training import SEED_AND_RATE, small_ngp, step_of, synthetic, train
assert len(jax.devices()) == 2
losses = []
for devices in (jax.devices()[:1], jax.devices()):
    step, state, pixels = step_of(synthetic(), devices)
    state, metrics = step(state, pixels, jnp.zeros(10), *SEED_AND_RATE)
    losses.append(metrics["loss"].tolist())
train(small_ngp(), None, sys.argv[1])
print(json.dumps(losses))
"""


def test_two_devices_see_the_same_losses_as_one_and_train_a_whole_run(tmp_path):
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one, two = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert json.loads((tmp_path / "results.json").read_text())["steps"] == 40


def test_a_number_that_is_not_finite_stops_training_and_names_step_and_tensor(tmp_path):
    config = synthetic()
    config["losses"]["colour"] = {"name": "tests.support.plugins:BadAfter", "limit": 0.0}
    with pytest.raises(TrainingError, match=r"step \d+: .* is not finite"):
        train(config, None, tmp_path, plugins=("tests",))
    assert all(np.isfinite(array).all() for array in final_state(tmp_path).values())


def test_a_state_that_is_not_finite_is_never_saved():
    with pytest.raises(TrainingError, match="params/w is not finite, so it is not saved"):
        state = TrainState(jnp.int32(3), {"w": jnp.array([1.0, jnp.nan])}, {}, {})
        nonfinite.check_finite(state, 3)


def test_a_step_that_is_not_finite_changes_nothing_but_the_number_of_steps():
    config = synthetic()
    step, state, pixels = step_of(config, jax.devices()[:1])
    state = jax.tree.map(jnp.copy, state)
    broken = dataclasses.replace(state, params=jax.tree.map(lambda x: x * jnp.nan, state.params))
    before = jax.tree.map(np.array, (broken.params, broken.state, broken.opt_state))
    after, metrics = step(broken, pixels, jnp.zeros(2), *SEED_AND_RATE)
    assert int(after.step) == 2
    assert not np.isfinite(np.asarray(metrics["loss"])).any()
    jax.tree.map(
        np.testing.assert_array_equal, before, (after.params, after.state, after.opt_state)
    )


@pytest.mark.whole
def test_a_step_changes_the_state_in_place():
    """Besides the state there are the gradients of the tables, and no second state."""
    config = small_ngp() | {"batch_size": 64}
    config["model"]["stages"]["main"]["field"]["encoding"].update(
        {"log2_table_size": 18, "max_resolution": 2048}
    )
    step, state, pixels = step_of(config, jax.devices()[:1])
    compiled = step.lower(state, pixels, jnp.zeros(10), *SEED_AND_RATE).compile()
    parameters = sum(x.nbytes for x in jax.tree.leaves(state.params))
    assert compiled.memory_analysis().temp_size_in_bytes < 1.5 * parameters


@pytest.mark.slow
@pytest.mark.parametrize("random", [True, False])
def test_a_random_background_makes_white_matter_opaque_where_a_white_one_leaves_a_hole(
    tmp_path, random
):
    config = small_ngp()
    config.update(
        {
            "steps": 100,
            "scene": {"name": "tests.support.plugins:white_room"},
            "random_background": random,
        }
    )
    train(config, None, tmp_path / "run", plugins=("tests",))
    run = load_run(tmp_path / "run", ("tests",))
    picture = make_render_image(run.model, run.config["background"])(run.cameras["test"][0])
    assert picture["rgb"].min() > 0.95
    assert (np.median(picture["opacity"]) > 0.95) == random


def copied(finished, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(finished[0], tmp_path / "run")


def test_a_changed_config_is_refused_on_resume_with_key_and_both_values(finished, tmp_path):
    tmp_path = copied(finished, tmp_path)
    with pytest.raises(ConfigError, match=r"batch_size: 64 -> 32"):
        train(synthetic(eval_times=2, batch_size=32), None, tmp_path)
    with pytest.raises(ConfigError, match="another scene"):
        config = synthetic(eval_times=2)
        write_json(tmp_path / "config.json", {**config, "scene": {**config["scene"], "seed": 1}})
        config["scene"]["seed"] = 1
        train(config, None, tmp_path)


def test_more_steps_continue_a_finished_run(finished, tmp_path):
    results = train(synthetic(eval_times=2, steps=60), None, copied(finished, tmp_path))
    assert results["steps"] == 60


def test_numbers_of_steps_that_do_not_fit_are_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="log_every=7, save_every=13"):
        train(synthetic(log_every=7, save_every=13, steps_per_call=10), None, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"log_every": 0}, {"batch_size": 0}, {"steps_per_call": 0}])
def test_numbers_below_one_are_refused_by_name(tmp_path, change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        train({**synthetic(), **change}, None, tmp_path)


def test_views_that_were_trained_on_are_not_scored_as_held_out(finished, monkeypatch):
    run = load_run(finished[0])
    run.names["train"].append(run.names["test"][0])
    with pytest.raises(
        ConfigError, match=f"was trained on 1 of these {len(run.names['test'])} views"
    ):
        reload_split(run, "test", None)
    run.names["train"].pop()
    assert reload_split(run, "test", None).names == run.names["test"]
    monkeypatch.setattr(read, "count_trained_on", lambda train, held_out: len(held_out))
    with pytest.raises(
        ConfigError, match="was trained on these views: score them with --split=train"
    ):
        reload_split(run, "test", None)


USED = (
    "import json, nerf.training.loop, nerf.runs.provenance as p;"
    " print(json.dumps(sorted(p.loaded_files())))"
)


def test_the_run_folder_explains_itself(finished):
    folder, results = finished
    assert {
        "config.json",
        "scene.json",
        "metrics.jsonl",
        "results.json",
        "eval",
        "checkpoints",
    } <= {path.name for path in folder.iterdir()}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [10, 20, 30, 40]
    assert {"step", "seconds", "split", "psnr", "ssim"} <= lines[-1].keys()
    held_out = [line for line in lines if line["split"] == "test"]
    assert [line["step"] for line in held_out] == [20, 40], "half way and at the end"
    for line in held_out:
        assert np.isclose(np.mean(line["per_image"]["psnr"]), line["psnr"])
    assert "views" not in held_out[-1] and 0 < len(held_out[0]["views"]) == len(
        held_out[0]["per_image"]["psnr"]
    )
    assert held_out[-1]["per_image"]["psnr"] == [
        score["psnr"] for score in results["per_image"].values()
    ]
    stored = json.loads((folder / "results.json").read_text())
    assert stored == json.loads(json.dumps(results))
    assert {
        "psnr",
        "ssim",
        "per_image",
        "train_seconds",
        "steps",
        "parameters",
        "seconds_per_frame",
        "protocol",
        "versions",
        "device",
        "processor",
        "commit",
        "interim_seconds",
        "products",
    } <= set(stored)
    assert "psnr_aligned" not in stored, "no poses are learned"
    assert stored["protocol"]["interim"].startswith(f"1 scoring on {len(held_out[0]['views'])} of ")
    assert "float32" in stored["protocol"]["precision"]
    assert (
        len(list((folder / "eval").glob("*.png")))
        == stored["protocol"]["views"]
        == len(stored["per_image"])
    )
    assert list((folder / "tensorboard").iterdir())
    depth = np.load(next(iter(sorted((folder / "eval").glob("*.npz")))))["array"]
    assert depth.shape == (24, 24) and depth.dtype == np.float32
    assert "nerf/sampling/stratified.py" in stored[
        "code"
    ] and "nerf/paths/paths.py" not in json.loads(
        subprocess.run(
            [sys.executable, "-c", USED], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    )
    assert 1e8 < stored["peak_memory"] < 1e11


def test_a_moved_run_renders_what_it_did(finished, tmp_path):
    first = load_run(copied(finished, tmp_path))
    (tmp_path / "run").rename(tmp_path / "b")
    second = load_run(tmp_path / "b")
    pictures = [
        make_render_image(r.model, (1.0, 1.0, 1.0), 256)(r.cameras["test"][0])["rgb"]
        for r in (first, second)
    ]
    np.testing.assert_array_equal(*pictures)
    assert first.stamp == second.stamp


def test_parameters_have_readable_names():
    _, state = init_state(
        build(
            synthetic()["model"],
            rngs=nnx.Rngs(0),
            space=build({"name": "nerf.sampling.spaces:Box"}),
        ),
        build({"name": "nerf.training.optimizers:adam"}),
    )
    assert "stages/0/field/trunk/layers/0/kernel" in flatten(state.params)
