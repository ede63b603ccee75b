"""A folder of every kind of image that people have.

The odd ones train; the bad ones are listed before anything is compiled.
"""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.scenes.test_scenes import BAD_IMAGES, NAMES, matrix, noise, ring
from tests.support.children import Child

FLAGS = [
    "--config=tests/support/one_stage.py",
    "--config.steps=10",
    "--config.batch_size=64",
    "--config.save_every=10",
]


def picture(w, h, mode="RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(w, h, 4 if mode == "RGBA" else 3)).convert(mode).save(buffer, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(12, 8, format="JPEG", exif=exif)


ODD = {
    **{name: picture(12, 8, format="PNG") for name in NAMES},
    "1x1.png": picture(1, 1, format="PNG"),
    "odd size.png": picture(13, 7, format="PNG"),
    "tall.png": picture(5, 31, format="PNG"),
    "grey.png": picture(12, 8, "L", format="PNG"),
    "palette.png": picture(12, 8, "P", format="PNG"),
    "alpha.png": picture(12, 8, "RGBA", format="PNG"),
    "rotated.jpg": rotated(),
    "named wrongly.png": picture(12, 8, format="JPEG"),
}


@pytest.fixture
def root(tmp_path):
    """A scene of all the odd images, each with a size of its own."""
    folder = tmp_path / "scene"
    (folder / "images").mkdir(parents=True)
    frames = []
    for (name, data), pose in zip(ODD.items(), ring(len(ODD)), strict=True):
        (folder / "images" / name).write_bytes(data)
        w, h = Image.open(io.BytesIO(data)).size
        lens = {"w": w, "h": h, "fl_x": 10.0, "fl_y": 10.0, "cx": w / 2, "cy": h / 2}
        frames.append({"file_path": f"images/{name}", "transform_matrix": matrix(pose), **lens})
    (folder / "transforms.json").write_text(json.dumps({"frames": frames}))
    return folder


def test_a_folder_of_every_odd_image_trains(root, tmp_path):
    child = Child(
        "train.py", [*FLAGS, f"--scene={root}", f"--workdir={tmp_path / 'run'}"], tmp_path / "log"
    )
    assert child.code() == 0, child.said()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["steps"] == 10 and np.isfinite(results["psnr"])
    names = json.loads((tmp_path / "run" / "scene.json").read_text())["names"]
    assert {*names["train"], *names["test"]} == {f"images/{name}" for name in ODD}


def no_compiler() -> None:
    """Nothing may be compiled."""
    import jax

    def compile(*_, **__):
        raise SystemExit("compiled")

    jax.stages.Lowered.compile = compile  # type: ignore[method-assign]


def test_all_bad_images_of_a_folder_are_listed_before_anything_is_compiled(root, tmp_path):
    data = json.loads((root / "transforms.json").read_text())
    lens = {
        "w": 8,
        "h": 6,
        "fl_x": 10.0,
        "fl_y": 10.0,
        "cx": 4.0,
        "cy": 3.0,
    }  # of those that have a size
    for i, (make, _) in enumerate(BAD_IMAGES.values()):
        (root / "images" / f"bad {i}.png").write_bytes(make())
        data["frames"].append({**data["frames"][0], "file_path": f"images/bad {i}.png", **lens})
    (root / "transforms.json").write_text(json.dumps(data))
    arguments = [*FLAGS, f"--scene={root}", f"--workdir={tmp_path / 'run'}"]
    child = Child("train.py", arguments, tmp_path / "log", no_compiler)
    assert child.code() == 1
    lines = [
        line for line in child.said().splitlines() if not line.startswith("libpng error")
    ]  # OpenCV's own
    assert len(lines) == len(BAD_IMAGES), child.said()
    for i, (_, reason) in enumerate(BAD_IMAGES.values()):
        assert sum(f"images/bad {i}.png: " in line and reason in line for line in lines) == 1, (
            reason,
            lines,
        )
    assert not (tmp_path / "run" / "config.json").exists()
