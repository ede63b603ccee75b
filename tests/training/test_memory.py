"""A scene larger than the device, or than the memory, trains to the same bits.

What fits nowhere is told in numbers.
"""

import json
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.runs.checkpoints import Checkpoints
from nerf.scenes import SceneError, storage
from nerf.training.loop import train
from nerf.training.memory import OutOfMemory
from nerf.training.ray_bank import HostRayBank, sample_rays, step_keys, to_device
from tests.scenes.test_scenes import write_nerfstudio
from tests.support import one_stage
from tests.training.test_ray_bank import mixed_scene

DEVICE = 16e6  # bytes: holds a step of this config, but not twice the pixels


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """14 training views, which take 8.6 MB of a device."""
    return write_nerfstudio(tmp_path_factory.mktemp("scene"), size=(320, 240))


def config(**changes) -> dict:
    one = one_stage.get_config()
    one.update(
        {"steps": 20, "batch_size": 64, "save_every": 20, "log_every": 10, "chunk": 4096, **changes}
    )
    return json.loads(one.to_json())


def bits(workdir):
    arrays = Checkpoints(workdir / "checkpoints", read_only=True).read()[0]
    return {name: array.tobytes() for name, array in arrays.items()}


def stop_after_training():
    """Asks for a stop when all steps are done: nothing is evaluated."""
    asked = iter([False] * 2 + [True] * 9)
    return lambda: next(asked)


@pytest.mark.slow
def test_where_pixels_are_kept_changes_no_bit(root, tmp_path, monkeypatch):
    files = []
    opened = storage.tempfile.TemporaryFile
    monkeypatch.setattr(
        storage.tempfile,
        "TemporaryFile",
        lambda **where: files.append(where["dir"]) or opened(**where),
    )
    limits = {
        "device": {},
        "memory": {"device_memory": DEVICE},
        "file": {"device_memory": DEVICE, "host_memory": 1e5},
    }
    found = {}
    for place, given in limits.items():
        files.clear()
        train(config(), root, tmp_path / place, should_stop=stop_after_training(), **given)
        found[place] = bits(tmp_path / place)
        assert bool(files) == (place == "file")
        assert all(tmp_path in [folder, *folder.parents] for folder in files), "beside the run"
    assert found["device"] == found["memory"] == found["file"]


@pytest.mark.parametrize("first", [0, 7])
def test_the_host_picks_what_the_device_would(first):
    scene, steps, count = mixed_scene(), 3, 50
    host, pixels = HostRayBank(scene, 5, count, steps, margin=0), to_device(scene, margin=0)
    for start in (first, first + steps, first):  # ahead, and not
        picked = jax.tree.map(jnp.asarray, host(start))
        for i in range(steps):
            rays, colours, _ = sample_rays(pixels, step_keys(5, jnp.int32(start + i)).pixels, count)
            own_rays, own_colours, _ = picked.at_step(jnp.int32(i)).rays()
            np.testing.assert_array_equal(own_colours, colours)
            for a, b in zip(jax.tree.leaves(own_rays), jax.tree.leaves(rays), strict=True):
                np.testing.assert_array_equal(a, b)


def test_what_fits_neither_memory_nor_disk_is_refused_with_the_numbers(root, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(SceneError) as caught:
        train(config(), root, tmp_path / "run", host_memory=2e6)
    line = str(caught.value)
    assert (
        "\n" not in line
        and "take 0.003 GB" in line
        and "0.002 GB of memory and 0.001 GB of disk" in line
    ), line
    assert "lower --config.scene.max_side" in line
    assert not (tmp_path / "run" / "config.json").exists(), "no run was begun"


def test_a_step_that_does_not_fit_is_refused_before_it_runs(root, tmp_path):
    with pytest.raises(
        OutOfMemory,
        match=r"^a training step needs .* GB .*; the device has 0\.001 GB:"
        r" lower --config.batch_size$",
    ):
        train(config(), root, tmp_path / "run", device_memory=1e6)
    assert not Checkpoints(tmp_path / "run" / "checkpoints").steps()


def test_free_memory_is_what_the_control_group_leaves(monkeypatch):
    there = {
        "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 5000 kB\n",
        "memory.current": "1000",
        "memory.max": "max\n",
    }
    monkeypatch.setattr(
        storage.Path, "read_text", lambda path: there.get(str(path)) or there[path.name]
    )
    assert storage.free_memory() == 5000 * 1024
    there["memory.max"] = "3000"
    assert storage.free_memory() == 2000
