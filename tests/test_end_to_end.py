"""The real commands, as a user runs them, and controls that must fail the same bar."""

import json
import os
import re
import shutil
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.children import Child
from tests.support.small_scenes import write_small_tabletop

TABLETOP = ROOT / "data" / "tabletop"
# A hash-grid run of 300 steps on the bundled scene, views reduced by 2. The bar was set once from
# the controls: 18.0 dB without encoding, 9.0 dB with mirrored cameras, 22.2 dB as it is.
BAR = 20.5
FAST = [
    "--config=configs/ngp.py",
    f"--scene={TABLETOP}",
    "--config.steps=300",
    "--config.save_every=300",
    "--config.scene.max_side=100",
    "--config.batch_size=1024",
    "--config.model.stages.main.field.encoding.log2_table_size=14",
]


# A run of one stage on the bundled scene with few photos of 20x20, for what is not about quality.
QUICK = ["--config=tests/support/one_stage.py", "--config.steps=100", "--config.chunk=400"]
QUICK += ["--config.save_every=100", "--config.log_every=100", "--config.batch_size=64"]


def command(*arguments, code=0, env=None):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def as_users_compile():
    """The environment without the flags by which tests compile quickly."""
    return {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a run with spaces"
    command("train.py", *FAST, f"--workdir={folder}", env=as_users_compile())
    return folder


def psnr_of(folder):
    return json.loads((folder / "results.json").read_text())["psnr"]


def test_the_train_command_learns_the_bundled_scene(trained):
    assert psnr_of(trained) > BAR


@pytest.mark.slow
def test_a_field_without_its_encoding_fails_the_bar(tmp_path):
    config = tmp_path / "control.py"
    config.write_text(
        "from configs import ngp\n\n\ndef get_config():\n    config = ngp.get_config()\n"
        "    with config.unlocked():\n"
        "        config.model.stages.main.field.encoding ="
        " {'name': 'nerf.encodings.identity:Identity'}\n"
        "    return config\n"
    )
    flags = [f for f in FAST if "configs/ngp.py" not in f and "encoding" not in f]
    command("train.py", f"--config={config}", *flags, f"--workdir={tmp_path / 'run'}")
    assert psnr_of(tmp_path / "run") < BAR


@pytest.mark.slow
def test_mirrored_camera_axes_fail_the_bar(tmp_path):
    scene = tmp_path / "mirrored"
    scene.mkdir()
    for split in ("train", "test"):
        shutil.copytree(TABLETOP / split, scene / split)
        data = json.loads((TABLETOP / f"transforms_{split}.json").read_text())
        for frame in data["frames"] if split == "train" else []:
            matrix = np.array(frame["transform_matrix"])
            matrix[:3, 1:3] *= -1  # OpenCV axes given as OpenGL ones
            frame["transform_matrix"] = matrix.tolist()
        (scene / f"transforms_{split}.json").write_text(json.dumps(data))
    flags = [f for f in FAST if "--scene" not in f]
    command("train.py", *flags, f"--scene={scene}", f"--workdir={tmp_path / 'run'}")
    assert psnr_of(tmp_path / "run") < BAR


@pytest.mark.slow
def test_splats_of_the_bundled_scene_are_close_to_the_field(tmp_path):
    run, path = tmp_path / "run", tmp_path / "splats.ply"
    train = [f"--scene={TABLETOP}", "--max_seconds=60", f"--workdir={run}"]
    command("train.py", *train, env=as_users_compile())
    flags = [f"--run={run}", "--export", f"--splats={path}", "--splats_mb=5"]
    said = command("render.py", *flags, env=as_users_compile()).stdout
    line = r"splats, .* PSNR (.*) dB, of the field (.*) dB, over 20 views \(test\)"
    splats, field = (float(x) for x in re.search(line, said).groups())
    assert splats > field - 3.0 and path.stat().st_size < 5e6


def test_the_render_command_makes_a_video_and_keeps_finished_frames(trained, tmp_path):
    out = tmp_path / "orbit.mp4"
    flags = [
        f"--run={trained}",
        "--path=orbit",
        f"--out={out}",
        "--frames=3",
        "--width=64",
        "--depth",
        "--raw_depth",
        "--opacity",
    ]
    command("render.py", *flags, env=as_users_compile())
    frames = list(iio.imiter(out))
    assert len(frames) == 3 and frames[0].shape == (64, 64, 3)
    assert np.ptp(frames[0]) > 100
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "orbit_frames").iterdir()}
    assert len(made) == 3 * 4
    (tmp_path / "orbit_frames" / "rgb_00001.png").write_bytes(b"cut off")
    command("render.py", *flags, env=as_users_compile())
    changed = sorted(
        p.name for p, t in made.items() if p.suffix == ".png" and p.stat().st_mtime_ns != t
    )
    assert all("00001" in name for name in changed) and "rgb_00001.png" in changed
    depth = np.load(tmp_path / "orbit_frames" / "depth_00000.npy")
    assert (
        depth.dtype == np.float32 and 2.5 < np.median(depth[depth > 0]) < 5.5
    )  # the file's units: cameras at 4


def test_the_render_command_scores_the_held_out_views_as_training_did(trained, tmp_path):
    flags = [f"--run={trained}", "--split=test", f"--out={tmp_path}"]
    command("render.py", *flags, env=as_users_compile())
    assert (
        abs(json.loads((tmp_path / "results.json").read_text())["psnr"] - psnr_of(trained)) < 1e-6
    )


def test_rendered_depth_agrees_with_the_ray_tracers(trained, tmp_path):
    from nerf.rendering.images import make_render_image
    from nerf.runs.read import load_run

    run = load_run(trained)
    truth = np.load(next(iter(sorted((TABLETOP / "depth" / "test").iterdir()))))["depth"]
    picture = make_render_image(run.model, (1.0, 1.0, 1.0))(run.cameras["test"][0])
    depth = picture["depth"] / run.transform.scale
    truth = truth[::2, ::2]
    there = (truth > 0) & (picture["opacity"] > 0.9)
    assert there.mean() > 0.1
    assert np.median(np.abs(depth - truth)[there]) < 0.1


def test_skipping_and_stopping_early_change_a_frame_by_less_than_a_tenth_of_a_decibel(trained):
    from nerf.evaluation import metrics
    from nerf.rendering.images import make_render_image
    from nerf.runs.read import load_run, reload_split

    run, background = load_run(trained), (1.0, 1.0, 1.0)
    quick = make_render_image(run.model, background)(run.cameras["test"][0])["rgb"]
    grid = run.model.occupancy
    skipped = (grid.possible[...] & ~grid.occupied[...]).sum() / grid.possible[...].sum()
    assert 0.02 < skipped < 0.9
    # Everything in the visual hull, outside which there is nothing by the model's own definition.
    grid.occupied[...] = grid.possible[...]
    run.model.early_stop_transmittance = -1.0
    whole = make_render_image(run.model, background)(run.cameras["test"][0])["rgb"]
    assert np.abs(quick - whole).max() > 0.0
    rgba = reload_split(run, "test", TABLETOP).images[0] / 255.0
    truth = rgba[..., :3] * rgba[..., 3:] + 1.0 - rgba[..., 3:]
    assert abs(metrics.psnr(quick, truth) - metrics.psnr(whole, truth)) < 0.1


@pytest.mark.slow
def test_a_second_process_finds_what_the_first_compiled_and_a_trace_is_written(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = (
        "0"  # how long compiling takes is chance
    )
    flags = [*QUICK, f"--scene={write_small_tabletop(tmp_path / 'scene', size=20)}"]
    command("train.py", *flags, f"--workdir={tmp_path / 'a'}", env=environment)
    kept = {path.name for path in (tmp_path / "cache" / "nerf").glob("*/*-cache")}
    assert any("train_steps" in name for name in kept)
    command(
        "train.py",
        *flags,
        f"--workdir={tmp_path / 'b'}",
        f"--profile={tmp_path / 'trace'}",
        env=environment,
    )
    assert {path.name for path in (tmp_path / "cache" / "nerf").glob("*/*-cache")} == kept
    assert psnr_of(tmp_path / "a") == psnr_of(tmp_path / "b")
    assert list((tmp_path / "trace").rglob("*.xplane.pb")) and list(
        (tmp_path / "trace").rglob("perfetto_trace*")
    )


@pytest.mark.slow
def test_a_users_own_encoding_is_named_in_a_config(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "triangle.py").write_text(
        (ROOT / "tests" / "support" / "plugins.py").read_text()
    )
    (tmp_path / "config.py").write_text(
        "from tests.support import one_stage\n\n\ndef get_config():\n"
        "    config = one_stage.get_config()\n"
        "    encoding = {'name': 'mine.triangle:Triangle', 'num_freqs': 4}\n"
        "    with config.unlocked():\n"
        "        config.model.stages.coarse.field.encoding = encoding\n"
        "    return config\n"
    )
    scene = write_small_tabletop(tmp_path / "scene", size=20)
    flags = [f"--config={tmp_path / 'config.py'}", *QUICK[1:], f"--scene={scene}"]
    script = [
        "-c",
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; sys.argv[0] = 'train.py'; "
        f"exec(open({str(ROOT / 'train.py')!r}).read())",
    ]
    refused = command(*script, *flags, f"--workdir={tmp_path / 'a'}", code=1)
    assert "allow it with --plugin=mine" in refused.stderr
    command(*script, *flags, f"--workdir={tmp_path / 'b'}", "--plugin=mine")
    assert psnr_of(tmp_path / "b") > 5


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["train.py", "--scene=/nowhere", "--workdir={}"], "no such folder"),
        (["train.py", "--config.batch_sise=3", "--workdir={}"], "batch_size"),
        (["train.py", "--scene={}", "--workdir={}/run"], "no scene in it"),
        (["render.py", "--run={}", "--out=video.mp4"], "config.json"),
    ],
)
def test_mistakes_get_a_line_and_no_traceback(tmp_path, arguments, says):
    program, *words = (a.format(tmp_path) for a in arguments)
    child = Child(program, words, tmp_path / "log")
    assert child.code() not in (0, None)
    assert says in child.said() and "Traceback" not in child.said()
