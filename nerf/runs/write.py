"""Write a run folder: config.json, scene.json, metrics.jsonl, eval/, results.json."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.foundation.files import remove_leftovers, write_bytes, write_json
from nerf.foundation.instantiate import ConfigError
from nerf.runs.budget import Budget, describe_change
from nerf.runs.provenance import (
    commit,
    environment,
    loaded_files,
    mixed,
    peak_memory,
    processor,
    source_digests,
)
from nerf.runs.record import read_json, scene_record
from nerf.scenes import Scene


class RunWriter:
    """Writer of a run folder. Use `open` to make one.

    Args:
      folder: the run folder.
      protocol: facts for the "protocol" of results.json.
      tensorboard: also write TensorBoard events.
      code: digests of the source files that the run was trained with.
    """

    def __init__(
        self, folder: Path, protocol: Mapping[str, Any], tensorboard: bool, code: Mapping[str, str]
    ):
        self.folder, self.protocol, self.code = folder, protocol, code
        self.events = None
        if tensorboard:
            self.events = _tensorboard_writer(folder / "tensorboard")

    @staticmethod
    def open(
        folder: str | Path,
        config: Mapping[str, Any],
        root: str | Path | None,
        splits: Mapping[str, Scene],
        tensorboard: bool = False,
        plugins: tuple[str, ...] = (),
    ) -> "RunWriter":
        """Make the run folder, or continue it.

        Args:
          folder: the run folder.
          config: of the run.
          root: the scene's folder.
          splits: the views of the run; must include "train".
          tensorboard: also write TensorBoard events.
          plugins: packages outside `nerf` that the config may name.

        Raises:
          ConfigError: the run was started on another scene.
        """
        folder, code = Path(folder), source_digests(plugins)
        config = json.loads(json.dumps(config))
        record = json.loads(json.dumps(scene_record(root, splits)))
        if (folder / "config.json").exists():
            if read_json(folder / "scene.json")["digest"] != record["digest"]:
                raise ConfigError(
                    f"{folder}: started on another scene, or its files changed: use a new --workdir"
                )
            file = folder / "code.json"
            code = mixed(read_json(file), code) if file.exists() else {}
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        write_json(folder / "scene.json", record)
        write_json(folder / "code.json", code)
        write_json(folder / "config.json", config)  # last: it makes the folder a run
        return RunWriter(folder, {"scene_digest": record["digest"]}, tensorboard, code)

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl after `step`, which resuming writes again."""
        file = self.folder / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        kept = [
            line for line in lines if (_step_of(line) or 0) <= step and _step_of(line) is not None
        ]
        write_bytes(file, "".join(f"{line}\n" for line in kept).encode())

    def log(
        self, step: int, seconds: float, split: str, numbers: Mapping[str, float], **lists: Any
    ) -> None:
        """Append a line to metrics.jsonl, and TensorBoard events if they are wanted.

        Args:
          step: optimizer steps taken.
          seconds: of training.
          split: "train", or the split that was scored.
          numbers: by name; None values are not plotted.
          **lists: further values of the line.
        """
        facts = {"step": step, "seconds": round(seconds, 3), "split": split}
        line = json.dumps({**facts, **numbers, **lists}, allow_nan=False)
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self.events is not None:
            for name, value in numbers.items():
                if value is not None:
                    self.events.add_scalar(f"{split}/{name}", value, step)
            self.events.flush()

    def log_scores(self, step: int, seconds: float, scores: Mapping[str, Any], **more: Any) -> None:
        """Log the result of `evaluate`.

        Args:
          step: optimizer steps taken.
          seconds: of training.
          scores: returned by `evaluate`; `per_image` becomes a list per metric, in view order.
          **more: further values of the line.
        """
        lists = {
            key: [score[key] for score in scores["per_image"].values()] for key in scores["mean"]
        }
        self.log(
            step, seconds, scores["protocol"]["split"], scores["mean"], per_image=lists, **more
        )

    def report_resumed(
        self, facts: Mapping[str, Any], changes: Sequence[Mapping[str, Any]], budget: Budget
    ) -> None:
        """Report that a finished run is extended or scored again.

        The results of an extended run are kept as results-STEP.json.

        Args:
          facts: of the checkpoint that training resumes from.
          changes: of the budget, since the run began.
          budget: of this training.
        """
        file = self.folder / "results.json"
        if len(changes) > len(facts["extended"]):
            print(describe_change(self.folder, changes[-1], budget), file=sys.stderr)
            if file.exists():
                file.replace(self.folder / f"results-{read_json(file)['steps']}.json")
        elif file.exists() and budget.fraction(facts["step"], facts["seconds"]) >= 1.0:
            flag = "--config.steps" if budget.max_seconds is None else "--max_seconds"
            done = f"has its {budget} of training"
            print(
                f"{self.folder}: {done}: scored again; a larger {flag} continues it",
                file=sys.stderr,
            )

    def finish(self, scores: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
        """Write results.json and return its contents."""
        loaded = loaded_files()
        results = {
            **scores["mean"],
            **facts,
            "per_image": scores["per_image"],
            "protocol": {**scores["protocol"], **self.protocol},
            **{key: scores[key] for key in ("labels", "instances") if key in scores},
            "seconds_per_frame": scores["seconds_per_frame"],
            "peak_memory": peak_memory(),
            "code": {file: digest for file, digest in self.code.items() if file in loaded},
            **environment(),
            "processor": processor(),
            "commit": commit(),
        }
        write_json(self.folder / "results.json", results)
        return results


def _step_of(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "--tensorboard: tensorboardX is not installed: pip install tensorboardX"
        ) from error
    return SummaryWriter(str(folder))
