"""Run folders that nobody trained, for tests: finished runs with made-up numbers and pictures."""

import json
import zlib

import numpy as np

from nerf.evaluation.evaluate import picture_name
from nerf.foundation.png import write_png

CODE = {"nerf/rendering/model.py": "1", "nerf/sampling/stratified.py": "2"}
HERE = {"versions": {"python": "3", "jax": "1"}, "device": "1 x cpu", "processor": "2 x Made Up"}
DIGEST = {"train": "a", "test": "b"}


def config_of(seed=0, **changes):
    config = {
        "seed": seed,
        "steps": 100,
        "eval_split": "test",
        "keep": 2,
        "log_every": 10,
        "save_every": 10,
    }
    return {**config, "model": {"width": 8, "name": "nerf.rendering.model:Model"}, **changes}


def make_run(
    folder,
    config,
    psnr,
    size=16,
    max_seconds=None,
    pictures=True,
    surface=False,
    steps=100,
    seconds=10.0,
    **results,
):
    """A finished run whose views have the PSNR given; they were 2 dB lower half way.

    With `surface`, normals and depth are scored too.
    """
    views = len(psnr)
    names = [f"test/r_{i:03d}" for i in range(views)]
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "100.safetensors").write_bytes(
        bytes(1000 * config["model"].get("width", 1))
    )
    write(folder / "config.json", config)
    write(folder / "scene.json", {"root": "scenes/made up", "digest": DIGEST, "unbounded": False})
    write(folder / "code.json", CODE)
    scores = {
        name: {"psnr": float(p), "ssim": 0.9 + float(p) / 1000}
        for name, p in zip(names, psnr, strict=True)
    }
    protocol = {
        "split": "test",
        "views": views,
        "size": [f"{size}x{size}"],
        "background": [1.0, 1.0, 1.0],
    }
    for score in scores.values() if surface else ():
        score |= {"normal_degrees": 60.0 - score["psnr"], "depth_error": 0.5 / score["psnr"]}
    protocol |= {"normals": "normals of the rendered depth"} if surface else {}
    protocol |= {"mask": "none", "psnr": "how", "ssim": "how", "scene_digest": DIGEST}
    facts = {
        "train_seconds": seconds,
        "max_seconds": max_seconds,
        "steps": steps,
        "parameters": 100 * views,
    }
    facts |= {"seconds_per_frame": 0.1, "peak_memory": 10**9, "code": CODE, **HERE}
    means = {"psnr": float(np.mean(psnr)), "ssim": 0.9}
    write(
        folder / "results.json",
        {**means, **facts, "per_image": scores, "protocol": protocol, **results},
    )
    lines = []
    for part, less in ((0.5, 2.0), (1.0, 0.0)):
        line = {"step": int(steps * part), "seconds": seconds * part, "split": "test"}
        listed = (np.asarray(psnr, float) - less).tolist()
        lines.append(
            {**line, "psnr": float(np.mean(listed)), "ssim": 0.9, "per_image": {"psnr": listed}}
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if pictures:
        draw(folder, names, size, config["seed"])
    if surface:
        draw_surface(folder / "eval", names, size)
    return folder


def draw(folder, names, size, seed):
    """Truth, render, error and depth of each view; all runs have one truth, no picture is flat."""
    (folder / "eval").mkdir()
    for i, name in enumerate(names):
        y, x = np.mgrid[:size, :size] / size
        truth = np.stack([x, y, (i + 1) / len(names) * np.ones_like(x)], -1)
        noise = np.random.default_rng([seed, i, zlib.crc32(folder.name.encode())]).normal(
            0, 0.1, truth.shape
        )
        sheet = np.clip(np.concatenate([truth, truth + noise, np.abs(noise), truth], 1), 0, 1)
        write_png(
            folder / "eval" / f"{picture_name(i, name)}.png", np.rint(sheet * 255).astype(np.uint8)
        )
        depth = np.where(x > 0.2, 2.0 + y, 0.0).astype(np.float32)
        np.savez_compressed(folder / "eval" / f"{picture_name(i, name)}.npz", array=depth)


def draw_surface(folder, names, size):
    """Normals, true normals and true depth of each view."""
    for kind in ("normals", "true_normals", "true_depth"):
        (folder / kind).mkdir()
    for i, name in enumerate(names):
        stem = picture_name(i, name)
        for kind, shade in (("normals", 60), ("true_normals", 200)):
            write_png(folder / kind / f"{stem}.png", np.full((size, size, 3), shade, np.uint8))
        depth = np.full((size, size), 2.5, np.float32)
        np.savez_compressed(folder / "true_depth" / f"{stem}.npz", array=depth)


def write(path, data):
    path.write_text(json.dumps(data))
