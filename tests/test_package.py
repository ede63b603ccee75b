"""The wheel, installed into an environment of its own.

Every command works from any folder, without the repository.
"""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.small_scenes import write_small_tabletop

SMALL = ["--config=tiny", "--config.steps=20", "--config.log_every=20", "--config.save_every=20"]
TINY_VIEWS = ["--config.chunk=576", "--config.batch_size=64"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("nerf_compare-*.whl")
    return built


@pytest.fixture(scope="module")
def nerf(wheel, tmp_path_factory):
    """Run the installed command `nerf` in a folder, with the dependencies of this environment."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    scheme = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)}, scheme="venv")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scheme["purelib"])
    # Of this environment only the dependencies: .pth files in a path of a .pth file are not read.
    dependencies = Path(scheme["purelib"], "dependencies.pth")
    dependencies.write_text(f"{sysconfig.get_paths()['purelib']}\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(folder: Path, *words: str) -> str:
        python = str(Path(scheme["scripts"], "python"))
        code = "import sys; from nerf.cli.main import main; sys.argv[0] = 'nerf'; main()"
        done = subprocess.run(
            [python, "-P", "-c", code, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def test_the_wheel_holds_configs_the_scene_and_the_pages_templates_and_nothing_beside_the_package(
    wheel,
):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "configs/ngp.py",
        "configs/systems/siren.py",
        "comparing/report/page.html.j2",
        "py.typed",
    ):
        assert f"nerf/{wanted}" in names
    assert any(name.startswith("nerf/data/tabletop/") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"nerf", "nerf_compare"}
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert "nerf = nerf.cli.main:main" in zipfile.ZipFile(wheel).read(entry).decode()


def test_train_render_and_compare_work_from_any_folder(nerf, tmp_path):
    scene = nerf(tmp_path, "--version") and "--scene=scene"
    write_small_tabletop(tmp_path / "scene", size=24)
    for seed in (0, 1):
        nerf(
            tmp_path,
            "train",
            scene,
            *SMALL,
            *TINY_VIEWS,
            f"--config.seed={seed}",
            f"--workdir=runs/{seed}",
        )
    shape = ["--width=32", "--height=32", "--frames=3"]
    assert "wrote film.mp4" in nerf(tmp_path, "render", "--run=runs/0", *shape, "--out=film.mp4")
    nerf(tmp_path, "compare", "runs/0", "runs/1", "--frames=0", "--out=report.html")
    assert (tmp_path / "film.mp4").stat().st_size > 500 and (
        tmp_path / "report.html"
    ).stat().st_size > 10_000
