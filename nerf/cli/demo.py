"""Train on the bundled scene for a minute, score its held-out views, and film it.

    nerf demo
    nerf demo --out=somewhere --seconds=20

The two commands that it runs are printed.
"""

import subprocess
from pathlib import Path

from absl import flags

from nerf.foundation.errors import UserError
from nerf.foundation.resources import bundled_scene, child_environment, nerf_command

_OUT = flags.DEFINE_string("out", "runs/demo", "Run folder: made, or resumed.")
_SECONDS = flags.DEFINE_float("seconds", 60.0, "Seconds of training.", lower_bound=1.0)
_SIDE = flags.DEFINE_integer("side", 400, "Pixels along each side of the video.", lower_bound=16)


def main(argv: list[str]) -> int:
    """Run the demo and return its exit code."""
    if argv[1:]:
        raise UserError(f"{argv[1]}: the demo takes flags only: --help lists them")
    out = Path(_OUT.value)
    video = out / "orbit.mp4"
    train = ["train", f"--scene={bundled_scene()}", f"--workdir={out}"]
    render = ["render", f"--run={out}", "--path=orbit", f"--out={video}"]
    shape = [f"--width={_SIDE.value}", f"--height={_SIDE.value}", "--frames=96"]
    for words in ([*train, f"--max_seconds={_SECONDS.value:g}"], [*render, *shape]):
        print(f"nerf {' '.join(words)}", flush=True)
        code = subprocess.run(nerf_command(*words), env=child_environment()).returncode
        if code:
            return code
    views = out / "eval"
    print(f"look at: {views} (held-out views: photo, render, error, depth) and {video}")
    print(f"fly through it in a browser: nerf view {out}")
    return 0
