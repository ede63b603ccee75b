"""Scenes: posed images in a normalised world.

This module uses numpy only. `nerf.scenes.formats` states what the loader of a format must do.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Real, UInt8

from nerf.cameras.cameras import Cameras
from nerf.foundation.errors import UserError

T = TypeVar("T")
MAX_SHOWN_PROBLEMS = 20
MAX_SHOWN_CHARACTERS = 200  # of each field of a problem
MIN_IMAGES = 4  # fewer leave hardly any to train on after a test and a validation view
MAX_SKEW = 1e-3  # largest entry of R R^T - I for a matrix R that is used as a rotation


class Problem(NamedTuple):
    """One problem of a scene: the file, the key in it, the reason, the fix."""

    file: str
    key: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return ": ".join(one_line(part) for part in self if part)


def one_line(text: str) -> str:
    """Escape unprintable characters of a file's text, and truncate it."""
    shown = text[:MAX_SHOWN_CHARACTERS] + ("..." if len(text) > MAX_SHOWN_CHARACTERS else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


class SceneError(UserError, ValueError):
    """All problems of a scene; the message lists the first 20."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = list(problems)
        count = len(self.problems)
        lines = [str(problem) for problem in self.problems[:MAX_SHOWN_PROBLEMS]]
        if count > MAX_SHOWN_PROBLEMS:
            lines.append(f"... and {count - MAX_SHOWN_PROBLEMS} more ({count} in all)")
        super().__init__("\n".join(lines))


class NoViews(SceneError):
    """A scene without a view in the requested split; it may still be trained on."""


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Similarity transform from a file's world to the normalised world (float64).

    It maps x, in the file's units and axes, to scale * rotation @ x + shift.
    """

    scale: float = 1.0
    rotation: Float[np.ndarray, "3 3"] = dataclasses.field(default_factory=lambda: np.eye(3))
    shift: Float[np.ndarray, "3"] = dataclasses.field(default_factory=lambda: np.zeros(3))

    def points(self, x: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Map points from the file's world to the normalised one."""
        return self.scale * x @ self.rotation.T + self.shift

    def points_back(self, x: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Map points from the normalised world to the file's."""
        return (x - self.shift) @ self.rotation / self.scale

    def poses(self, c2w: Float[np.ndarray, "*b 3 4"]) -> Float[np.ndarray, "*b 3 4"]:
        """Map rigid camera-to-world matrices from the file's world to the normalised one."""
        return np.concatenate(
            [self.rotation @ c2w[..., :3], self.points(c2w[..., 3])[..., None]], -1
        )

    def poses_back(self, c2w: Float[np.ndarray, "*b 3 4"]) -> Float[np.ndarray, "*b 3 4"]:
        """Map rigid camera-to-world matrices from the normalised world to the file's."""
        return np.concatenate(
            [self.rotation.T @ c2w[..., :3], self.points_back(c2w[..., 3])[..., None]], -1
        )

    def to_json(self) -> dict[str, Any]:
        """Return the transform as numbers and lists that JSON can store."""
        return {
            "scale": self.scale,
            "rotation": self.rotation.tolist(),
            "shift": self.shift.tolist(),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Similarity":
        """Build a transform from the result of `to_json`."""
        return Similarity(float(data["scale"]), np.array(data["rotation"]), np.array(data["shift"]))


class LabelClass(NamedTuple):
    """A class of pixels: its number in the label files, its name, and the colour that shows it."""

    number: int
    name: str
    colour: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images of one split.

    Attributes:
      images: one (h, w, 3) or (h, w, 4) sRGB array per view, of type uint8, uint16 or float32 (see
        `to_unit`). A fourth channel is straight alpha. Sizes may differ between views; the number
        of channels and the type may not.
      cameras: one per view, in the normalised world (float32 numpy arrays).
      names: one per view, unique; used in reports and file names.
      transform: from the file's world to the normalised one; the same for every split of a scene.
      unbounded: whether the scene may extend beyond the normalised box [-1, 1]^3.
      notes: decisions of the loader that the user should know, e.g. skipped images, one line each.
      maps: per-pixel arrays besides the images by name, (h, w) or (h, w, c), one per view. "mask"
        is True at pixels that are trained on and scored, and "depth" is the distance along the ray
        in units of the normalised world, 0 if unknown. "normals" are true unit normals in the axes
        of the normalised world, 0 if unknown. "labels" is 1 + the number of a pixel's class, and
        "instances" 1 + that of the single object (1 for none), 0 if unknown; see
        `nerf.scenes.labels`. Other maps reach the losses by their names, and are 0 where nothing is
        known.
      points: sparse points in the normalised world; None if the file has none.
      point_colours: sRGB colours of `points`; None if the file has none.
      axes_kept: True if +z is the file's +z, because its format defines the up direction; False if
        up was estimated from the cameras.
      classes: the classes of the map "labels", by number.
    """

    images: Sequence[Real[np.ndarray, "_ _ c"]]
    cameras: Cameras
    names: Sequence[str]
    transform: Similarity
    unbounded: bool
    notes: Sequence[str] = ()
    maps: Mapping[str, Sequence[np.ndarray]] = dataclasses.field(default_factory=dict)
    points: Float[np.ndarray, "m 3"] | None = None
    point_colours: UInt8[np.ndarray, "m 3"] | None = None
    axes_kept: bool = False
    classes: Sequence[LabelClass] = ()

    def __post_init__(self) -> None:
        fields: list[Any] = [self.images, self.cameras, self.names, *self.maps.values()]
        if len(lengths := {len(x) for x in fields}) != 1:
            raise ValueError(
                f"a scene needs as many images as cameras, names and so on, got {sorted(lengths)}"
            )
        if len(kinds := {str(image.dtype) for image in self.images}) > 1:
            raise ValueError(f"a scene's images need one type, got {sorted(kinds)}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        sizes = sorted({image.shape[1::-1] for image in self.images})
        shown = [f"{w}x{h}" for w, h in sizes]
        if len(shown) > 2:
            shown = [f"{shown[0]} to {shown[-1]}"]
        channels = "with alpha" if self.has_alpha else "without alpha"
        maps = f", maps: {', '.join(self.maps)}" if self.maps else ""
        return f"Scene({len(self)} views, {' and '.join(shown)}, {channels}{maps})"

    @property
    def has_alpha(self) -> bool:
        """Whether every image has an alpha channel."""
        return all(image.shape[-1] == 4 for image in self.images)

    def counted(self, known: Bool[np.ndarray, "h w"], view: int) -> Bool[np.ndarray, "h w"]:
        """Return the known pixels of a view that its mask includes.

        Args:
          known: which pixels are known.
          view: number of the view.
        """
        return known & self.maps["mask"][view] if "mask" in self.maps else known

    def digest(self) -> str:
        """Return a SHA-256 of everything that training uses, which excludes notes."""
        described = [list(self.names), self.transform.to_json(), self.unbounded]
        described += [each.number for each in self.classes]
        sha = hashlib.sha256(json.dumps(described).encode())
        cameras = [
            getattr(self.cameras, name) for name in ("c2w", "K", "distortion", "size", "model")
        ]
        given: dict[str, Any] = {"cameras": cameras, "images": self.images, **self.maps}
        given |= {
            name: None if (x := getattr(self, name)) is None else [x]
            for name in ("points", "point_colours")
        }
        for name, arrays in given.items():
            for array in map(np.asarray, arrays or ()):
                # Type and shape are hashed too, so that equal bytes of another shape differ.
                sha.update(f"{name} {array.dtype} {array.shape}".encode())
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def select(self, indices: Sequence[int]) -> "Scene":
        """Return the scene with only the views at `indices`."""
        return dataclasses.replace(
            self,
            images=[self.images[i] for i in indices],
            cameras=self.cameras[np.asarray(indices, int)],
            names=[self.names[i] for i in indices],
            maps={name: [x[i] for i in indices] for name, x in self.maps.items()},
        )


def to_unit(values: Real[Array | np.ndarray, "*b"]) -> Float32[Array | np.ndarray, "*b"]:
    """Convert stored colours or alpha to float32 in [0, 1].

    Integers are divided by the largest value of their type; float32 is returned unchanged.
    """
    if values.dtype == np.float32:
        return values
    return values.astype(np.float32) / np.iinfo(values.dtype).max


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes; raise SceneError if that fails."""
    try:
        if path.stat().st_size > limit:
            reason = f"implausibly large, more than {limit / 1e6:g} MB"
            raise SceneError([Problem(path.name, "", reason, "check that it is the right file")])
        return path.read_bytes()
    except OSError as error:
        fix = "make the file readable, or copy it again"
        raise SceneError([Problem(path.name, "", error.strerror or str(error), fix)]) from error


def every_nth(count: int, split: str, n: int) -> list[int]:
    """Return the view indices of a split; every n-th view is held out.

    This is for scenes whose files define no splits. Held-out views are 0, n, 2n, ...

    Args:
      count: number of views.
      split: "train", or a split of held-out views.
      n: interval between held-out views.
    """
    return [i for i in range(count) if (i % n == 0) == (split != "train")]


def hold_out(items: Sequence[T], n: int) -> dict[str, list[T]]:
    """Split items into train, val and test if the files define no splits.

    Every n-th item is in "test", the others in "train", and every n-th of these also in "val".
    """
    splits = {
        split: [items[i] for i in every_nth(len(items), split, n)] for split in ("train", "test")
    }
    splits["val"] = [splits["train"][i] for i in every_nth(len(splits["train"]), "val", n)]
    return splits


def no_views(split: str, count: int, file: str, key: str = "") -> SceneError:
    """Return the error for a split that has no view.

    Args:
      split: "train", "val" or "test".
      count: number of images of the scene.
      file: the file that lists the images.
      key: the key in `file` that lists the views of the split, or empty.

    Returns:
      A NoViews error if the scene can be trained on without the split, otherwise a SceneError.
    """
    if count < 2:
        reason = "one image: a scene needs at least two, one of them is held out"
        return SceneError([Problem(file, "", reason, "add images")])
    if split == "train":
        fix = "add images" if count < MIN_IMAGES else "hold out fewer with --config.scene.every=8"
        if key:
            fix = "list images in it"
        return SceneError([Problem(file, key, "no view in split 'train'", fix)])
    instead = "--config.eval_split=val scores every 8th training view instead"
    if split == "val":
        instead = "add images"
    return NoViews([Problem(file, key, f"no view in split '{split}'", instead)])


def rotation_to_z(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return the smallest rotation that takes `up` to +z."""
    up = up / np.linalg.norm(up)
    axis = np.cross(up, [0.0, 0.0, 1.0])
    cosine = up[2]
    # For opposite vectors any half turn about a horizontal axis is smallest: use the x axis.
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    # Rodrigues' formula, with sin(angle) = |axis|.
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def check_poses(c2w: np.ndarray, file: str, keys: Sequence[str]) -> Iterator[Problem]:
    """Check that camera-to-world matrices are rigid.

    Args:
      c2w: the matrices, (n, 3, 4).
      file: the file that they come from.
      keys: the key of each matrix in the file.

    Yields:
      A problem for each matrix that is not finite or not rigid (to `MAX_SKEW`).
    """
    for matrix, key in zip(c2w, keys, strict=True):
        if (problem := find_not_rigid(matrix, file, key)) is not None:
            yield problem


def find_not_rigid(matrix: np.ndarray, file: str, key: str) -> Problem | None:
    """Check that a 3x4 camera-to-world matrix is rigid.

    Args:
      matrix: rotation and translation.
      file: the file that the matrix comes from.
      key: the key of the matrix in the file.

    Returns:
      The problem, or None for a rigid matrix.
    """
    if not np.isfinite(matrix).all():
        return Problem(file, key, "numbers that are not finite", "export the pose again")
    rotation = matrix[:, :3]
    # No number of a rotation is beyond 1, and the squares of very large ones are not finite.
    largest = np.abs(rotation).max()
    if largest > 1.0 + MAX_SKEW or np.abs(rotation @ rotation.T - np.eye(3)).max() > MAX_SKEW:
        scaled = rotation / (largest or 1.0)
        lengths = np.linalg.norm(scaled, axis=0)
        skew = np.abs(scaled.T @ scaled - np.diag(lengths**2)).max()
        # Orthogonal columns of other lengths than 1 mean that the matrix includes a scale.
        if skew <= 10 * MAX_SKEW * lengths.max() ** 2:
            shown = ", ".join(f"{largest * length:.4g}" for length in lengths)
            fix = "divide each by its length, or apply the camera's scale before the export"
            return Problem(
                file, key, f"rotation is not orthonormal: its columns have lengths {shown}", fix
            )
        fix = "write a rigid camera-to-world matrix, with more digits if they are rounded"
        return Problem(file, key, "rotation is not orthonormal", fix)
    if np.linalg.det(rotation) < 0:
        fix = "negate one axis: axes are +x right, +y up, -z ahead"
        return Problem(file, key, "rotation mirrors (determinant -1)", fix)
    return None
