"""Ask whether one idea is better than another, and get an answer that holds.

Is a NeRF better if its encoding has diagonals (example 01) besides the axes? One run each says
little: another seed may turn the order around. `nerf.compare` trains both with several seeds,
scores the same held-out views, and says "better" only if seeds and views support it.

    python examples/05_compare_two_ideas.py

takes two or three minutes, prints the verdict ("diagonals is better than axes by 1.21 dB (95.5%
interval 0.81 to 1.61; 20 views, 3 seeds)"), and writes runs/ideas/report.html: one page that opens
without a network, with the numbers and their intervals, and the held-out views under a slider.
Finished runs are found again, so that the same command resumes, and more seeds add to them. The
same on the command line:

    CONFIG=tiny:scene.max_side=100
    IDEA=model.stages.fine.field.encoding.name=01_own_encoding:OffAxis
    PYTHONPATH=examples nerf compare axes=$CONFIG diagonals=$CONFIG,$IDEA \
      --plugin=01_own_encoding --scene=data/tabletop --steps=300 --out=runs/ideas/report.html
"""

import argparse
from pathlib import Path

import nerf

SCENE = Path(__file__).parents[1] / "data" / "tabletop"
CONFIG = "tiny:scene.max_side=100"  # a config and changes to it, with commas between them
IDEA = "model.stages.fine.field.encoding.name=01_own_encoding:OffAxis"


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask whether one idea is better than another.")
    parser.add_argument("--scene", default=SCENE, help="a folder of photos with poses")
    parser.add_argument("--steps", type=int, default=300, help="of each run, a multiple of ten")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each idea")
    parser.add_argument("--out", type=Path, default=Path("runs/ideas"), help="runs and the page")
    flags = parser.parse_args()

    numbers = nerf.compare(
        [
            f"axes={CONFIG}",  # a label and a config
            f"diagonals={CONFIG},{IDEA}",
        ],
        flags.out / "report.html",
        scenes=[str(flags.scene)],
        steps=flags.steps,  # equal steps; with budget="60s" equal time
        seeds=str(flags.seeds),
        runs=flags.out,
        jobs=2,  # runs at a time
        eval_times=0,  # no scores during training, and so no curves
        frames=0,  # no fly-through
        plugins=("01_own_encoding",),
    )
    print(numbers["verdict"])
    print(f"page: {flags.out / 'report.html'}")


if __name__ == "__main__":
    main()
