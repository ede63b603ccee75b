"""Scene formats: one module for each, which is found because it lies in this package.

A format makes a `nerf.scenes.frames.Frame` of every photo, and `nerf.scenes.reading.to_scene` reads
the frames of the split.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from nerf.scenes.base import Scene


@runtime_checkable
class Format(Protocol):
    """The two functions that a module needs to be a scene format."""

    def detect(self, root: Path) -> bool:
        """Return whether a folder is a scene of this format."""

    def load(
        self,
        root: Path,
        split: str,
        max_side: int = 1024,
        validation: bool = False,
        every: int = 8,
    ) -> Scene:
        """Load one split of a scene; a format may have further options.

        All splits of a scene have the same normalised world. Every problem of the scene is
        collected before an error is raised.

        Args:
          root: the scene folder.
          split: "train", "val" or "test".
          max_side: larger images are reduced by an integer factor to at most this many pixels a
            side. If there are folders of reduced images, the one whose images are largest after
            the reduction is read.
          validation: exclude the "val" views from "train" if both come from the same list.
          every: where the files define no splits, every `every`-th image by name is "test", and
            every `every`-th of the others "val".

        Returns:
          The views of the split.

        Raises:
          NoViews: the split has no view, but the scene can be trained on without it.
          SceneError: with all other problems of the scene.
        """
