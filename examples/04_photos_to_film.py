"""From photos to a film, in three calls.

    pip install pycolmap
    python examples/04_photos_to_film.py path/to/photos

Take 50 to 150 sharp photos of something that does not move: walk around it in small steps, so that
neighbouring photos show mostly the same. A video works too. pycolmap estimates where each photo was
taken, which takes minutes; a photo without texture or overlap is skipped, and a capture of such
photos fails with one line that says why. Then a hash grid trains and a camera flies through it;
with --steps 4000 that takes some minutes, and shows more detail. docs/your-own-photos.md has the
details.

Without photos, or pycolmap, this shows the last two calls on the bundled scene, whose poses are
known:

    python examples/04_photos_to_film.py

That takes a minute or two on two CPU cores, and reaches 27.8 dB over held-out photos.

Interrupt it whenever you like: the same command resumes the training, and keeps finished frames.
"""

import argparse
import sys
from pathlib import Path

import nerf

SCENE = Path(__file__).parents[1] / "data" / "tabletop"


def main() -> None:
    parser = argparse.ArgumentParser(description="From photos to a film, in three calls.")
    parser.add_argument("photos", nargs="?", help="a folder of photos, or a video")
    parser.add_argument("--scene", type=Path, default=SCENE, help="a folder of photos with poses")
    parser.add_argument("--steps", type=int, default=1000, help="a multiple of ten")
    parser.add_argument("--frames", type=int, default=72, help="of the film, 24 a second")
    parser.add_argument("--out", type=Path, default=Path("runs/film"), help="for all results")
    flags = parser.parse_args()

    scene = flags.scene
    if flags.photos is not None:
        scene = flags.out / "scene"
        # transforms.json is written last: a folder that has it is finished.
        if not (scene / "transforms.json").exists():
            nerf.make_scene(flags.photos, scene)

    config = nerf.load_config("ngp", {"steps": flags.steps})
    run = nerf.train(config, scene, flags.out / "run")
    print(f"{run.results['psnr']:.2f} dB over {len(run.names['test'])} photos that were held out")

    film = nerf.render(run, flags.out / "film.mp4", frames=flags.frames)
    print(f"film: {film}")


if __name__ == "__main__":
    try:
        main()
    except nerf.UserError as error:
        sys.exit(str(error))  # one line that says how to fix it, instead of a traceback
