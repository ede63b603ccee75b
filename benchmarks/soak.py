"""Train and render under random faults, resume, and count the errors.

    python -m benchmarks.soak --minutes=30 --seed=0 [--out=soak.json]

The faults are kills, stops, second processes in the same folder, and damaged checkpoints. Every
round trains a small run of a few seconds to its end, renders it, and compares parameters, scores
and frames with those of an undisturbed run. Every third run is trained by two processes, of which
one is killed, stopped or frozen; the other must exit within the heartbeat and ten seconds. The exit
code is 1 unless silent_wrong_results, hangs, lost_finished_work, temporary_files_left and
unexpected_ends are all 0.
"""

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.common import write_out
from nerf.runs.checkpoints import CheckpointError, Checkpoints

MAX_SECONDS = 600.0  # a process that runs longer counts as hung
HEARTBEAT = 10
FRAMES = 6
FAULTS = (
    "silent_wrong_results",
    "hangs",
    "lost_finished_work",
    "temporary_files_left",
    "unexpected_ends",
)
CONFIG = """
from configs import tiny

def get_config():
    config = tiny.get_config()
    config.scene = {"name": "nerf.scenes.synthetic:load", "size": 24, "views": 6}
    config.update({"steps": 600, "batch_size": 64, "chunk": 576})
    config.update({"save_every": 20, "log_every": 20, "keep": 3})
    return config
"""


class Soak:
    """A soak test: its folder, its counts, and the undisturbed reference runs.

    Args:
      home: folder for all runs and logs.
      seed: seed of the random faults.

    Attributes:
      counts: number of faults by type, and of everything that was done.
      slowest_end: the longest time, in seconds, until the other of two processes exited.
    """

    def __init__(self, home: Path, seed: int):
        self.home = home
        self.random = random.Random(seed)
        self.counts = Counter(dict.fromkeys(FAULTS, 0))
        (home / "config.py").write_text(CONFIG)
        self.slowest_end = 0.0
        for argument in (
            self.training(home / "whole"),
            self.rendering(home / "whole", home / "whole.mp4"),
        ):
            if self.end(self.start(argument)) != 0:
                sys.exit(f"the undisturbed run failed:\n{self.said()}")
        if [self.end(process) for process in self.start_pair(home / "pair")] != [0, 0]:
            sys.exit(f"the undisturbed run of two processes failed:\n{self.said()}")

    def training(self, run: Path) -> list[str]:
        """Return the arguments that train a run."""
        return ["nerf train", f"--config={self.home / 'config.py'}", f"--workdir={run}"]

    def rendering(self, run: Path, out: Path) -> list[str]:
        """Return the arguments that render a run."""
        return ["nerf render", f"--run={run}", f"--out={out}", f"--frames={FRAMES}", "--width=48"]

    def said(self) -> str:
        """Return the output of the last processes."""
        return "".join(log.read_text(errors="replace") for log in sorted(self.home.glob("log*")))

    def start_pair(self, run: Path) -> list[subprocess.Popen]:
        """Start two processes that train together."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        together = [f"--coordinator=127.0.0.1:{port}", "--processes=2", f"--heartbeat={HEARTBEAT}"]
        return [
            self.start([*self.training(run), *together, f"--process={i}"], f"log{i}")
            for i in range(2)
        ]

    def start(self, arguments: list[str], log_name: str = "log0") -> subprocess.Popen:
        """Start a program whose output goes to a log file."""
        self.counts[f"started_{arguments[0].removesuffix('.py')}"] += 1
        if log_name == "log0":
            (self.home / "log1").unlink(missing_ok=True)
        with open(self.home / log_name, "w") as log:
            return subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log)

    def end(self, process: subprocess.Popen) -> int | None:
        """Return the exit code, or kill a process that hung and return None."""
        try:
            return process.wait(MAX_SECONDS)
        except subprocess.TimeoutExpired:
            self.fault("hangs", f"no end of {process.args!r}")
            process.kill()
            process.wait()
            return None

    def fault(self, kind: str, what: str) -> None:
        """Count and print a fault."""
        self.counts[kind] += 1
        print(f"FAULT {kind}: {what}\n{self.said()[-2000:]}", file=sys.stderr, flush=True)

    def disturb(self, process: subprocess.Popen, arguments: list[str]) -> int:
        """Disturb a process at a random time and return its expected exit code."""
        what = self.random.choice(
            ["kill", "kill", "kill", "stop", "interrupt", "double", "nothing"]
        )
        self._wait_for_life(process)
        time.sleep(self.random.choice([0.0, 0.3, 1.0, 3.0]) * self.random.random())
        if process.poll() is not None:
            return 0
        self.counts[f"did_{what}"] += 1
        if what == "double" and arguments[0] == "nerf train":
            second = subprocess.run(
                [sys.executable, *arguments], capture_output=True, text=True, timeout=MAX_SECONDS
            )
            if process.poll() is None and (
                second.returncode != 1 or "in use by" not in second.stderr
            ):
                self.fault(
                    "silent_wrong_results", f"a second process was accepted: {second.stderr}"
                )
        signals = {"kill": signal.SIGKILL, "stop": signal.SIGTERM, "interrupt": signal.SIGINT}
        if what not in signals:
            return 0
        process.send_signal(signals[what])
        return -signals[what] if what == "kill" else 128 + signals[what]

    def _wait_for_life(self, process: subprocess.Popen) -> None:
        """Wait until it prints something; in a fifth of the cases disturb it during its start."""
        if self.random.random() < 0.2:
            return
        end = time.monotonic() + MAX_SECONDS
        while process.poll() is None and not self.said() and time.monotonic() < end:
            time.sleep(0.05)

    def go_on_until_done(self, arguments: list[str], kept, between=lambda: None) -> bool:
        """Restart a program until it finishes undisturbed.

        Args:
          arguments: of the program.
          kept: returns a list of the finished work, none of which may get lost.
          between: called before each restart.

        Returns: whether it finished without a fault that ends the round.
        """
        for _ in range(100):
            before = kept()
            process = self.start(arguments)
            expected = self.disturb(process, arguments)
            code = self.end(process)
            # A signal during the start of Python itself ends it with code 1.
            unborn = code == 1 and "Fatal Python error: init_import_site" in self.said()
            if code not in (0, expected, -signal.SIGTERM, -signal.SIGINT) and not unborn:
                self.fault("unexpected_ends", f"code {code}, expected {expected} or 0")
                return False
            if lost := [thing for thing in before if thing not in kept()]:
                self.fault("lost_finished_work", f"{lost} after {arguments}")
            if code == 0:
                return True
            between()
        self.fault("hangs", f"no end in a hundred starts: {arguments}")
        return False

    def train_together(self, run: Path, kept) -> bool:
        """Restart two processes, disturbing one of them, until both finish."""
        for _ in range(100):
            before = kept()
            pair = self.start_pair(run)
            victim, other = self.random.sample(pair, 2)
            what = self.random.choice(["kill", "kill", "stop", "freeze", "nothing"])
            self._wait_until_joined(pair)
            time.sleep(self.random.choice([1.0, 5.0, 20.0]) * self.random.random())
            if all(process.poll() is None for process in pair):
                self.counts[f"did_pair_{what}"] += 1
                if what != "nothing":
                    numbers = {
                        "kill": signal.SIGKILL,
                        "stop": signal.SIGTERM,
                        "freeze": signal.SIGSTOP,
                    }
                    victim.send_signal(numbers[what])
                if what in ("kill", "freeze"):
                    self._end_of_other(other)
                    victim.kill()
            codes = [self.end(process) for process in pair]
            if what == "nothing" and codes != [0, 0]:
                self.fault("unexpected_ends", f"codes {codes} of two undisturbed processes")
            if lost := [thing for thing in before if thing not in kept()]:
                self.fault("lost_finished_work", f"{lost} after two processes")
            if codes == [0, 0]:
                return True
        self.fault("hangs", "no end in a hundred starts of two processes")
        return False

    def _wait_until_joined(self, pair: list[subprocess.Popen]) -> None:
        """Wait until both processes train; before that, one waits five minutes for the other."""
        end = time.monotonic() + MAX_SECONDS
        while (
            self.said().count("scene: ") < 2
            and all(p.poll() is None for p in pair)
            and time.monotonic() < end
        ):
            time.sleep(0.05)

    def _end_of_other(self, other: subprocess.Popen) -> None:
        """Check that the other process exits within the heartbeat and ten seconds."""
        began = time.monotonic()
        try:
            other.wait(HEARTBEAT + 10)
        except subprocess.TimeoutExpired:
            self.fault("hangs", f"the other process has not ended after {HEARTBEAT + 10} s")
        self.slowest_end = max(self.slowest_end, time.monotonic() - began)

    def damage(self, run: Path) -> None:
        """Damage the newest checkpoint in half of the cases."""
        checkpoints = Checkpoints(run / "checkpoints", read_only=True)
        if self.random.random() < 0.5 or len(checkpoints.steps()) < 2:
            return
        file = checkpoints.file(checkpoints.steps()[-1])
        data = bytearray(file.read_bytes())
        kind = self.random.choice(["flip", "flip", "cut", "empty", "delete"])
        self.counts[f"damage_{kind}"] += 1
        if kind == "delete":
            file.unlink()
            return
        data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        file.write_bytes(
            {"flip": bytes(data), "cut": bytes(data[: len(data) // 2]), "empty": b""}[kind]
        )

    def round(self, run: Path) -> None:
        """Train one run and render one video."""
        checkpoints = Checkpoints(run / "checkpoints", read_only=True)

        def progress() -> list[str]:
            """Return all steps up to the newest good checkpoint, which must not get lost."""
            try:
                newest = checkpoints.read()[1]["step"] if checkpoints.steps() else 0
            except CheckpointError:
                newest = 0
            return [f"step {step}" for step in range(0, newest + 1, 10)]

        together = self.counts["rounds"] % 3 == 2
        if together:
            done = self.train_together(run, progress)
        else:
            done = self.go_on_until_done(self.training(run), progress, lambda: self.damage(run))
        self.counts["rounds"] += 1
        whole = self.home / ("pair" if together else "whole")
        if not done:
            return
        self.compare(digests(run) == digests(whole), "parameters")
        self.compare(scores(run) == scores(whole), "scores")
        if not together:
            self.film(run)
        if left := list(self.home.rglob(".*.tmp*")):
            self.fault("temporary_files_left", str(left))

    def film(self, run: Path) -> None:
        """Render a run until its video is complete, and compare it with the reference."""
        out, frames = run.with_suffix(".mp4"), run.with_name(f"{run.name}_frames")
        finished: dict[Path, int] = {}

        def kept() -> list[tuple[Path, int]]:
            finished.update({file: file.stat().st_mtime_ns for file in frames.glob("rgb_*.png")})
            return list(finished.items())

        if self.go_on_until_done(self.rendering(run, out), kept):
            whole = self.home / "whole_frames"
            same = [
                (frames / file.name).read_bytes() == file.read_bytes()
                for file in sorted(whole.iterdir())
            ]
            self.compare(len(same) == FRAMES and all(same), "frames")
            self.compare(out.read_bytes() == (self.home / "whole.mp4").read_bytes(), "video")

    def compare(self, same: bool, what: str) -> None:
        """Count a comparison, and a fault if it failed."""
        self.counts["compared"] += 1
        if not same:
            self.fault("silent_wrong_results", f"{what} differ")


def digests(run: Path) -> dict[str, str]:
    """Return the digest of every array of the last checkpoint."""
    return Checkpoints(run / "checkpoints", read_only=True).read()[1]["digests"]


def scores(run: Path) -> dict:
    """Return the scores of every held-out view."""
    return json.loads((run / "results.json").read_text())["per_image"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        soak = Soak(Path(home), options.seed)
        began = time.monotonic()
        while time.monotonic() - began < 60.0 * options.minutes:
            soak.round(Path(home) / f"run{soak.counts['rounds']}")
            print(json.dumps(soak.counts), file=sys.stderr, flush=True)
    minutes = round((time.monotonic() - began) / 60.0, 1)
    slowest = round(soak.slowest_end, 1)  # seconds until the other of two processes ended
    write_out(
        {"minutes": minutes, "seed": options.seed, **soak.counts, "slowest_end": slowest},
        options.out,
    )
    return 1 if any(soak.counts[kind] for kind in FAULTS) else 0


if __name__ == "__main__":
    sys.exit(main())
