"""What a scene is: posed images in a normalised world, and the similarity that leads back to its file.

A scene format is one module in this package with two functions:

    detect(root: Path) -> bool                    # is this folder mine?
    load(root: Path, split: str, **options) -> Scene # split is "train", "val" or "test"

numpy only. Every problem of a scene is collected before anything is raised.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Real, UInt8

from nerf.cameras.cameras import Cameras
from nerf.foundation.errors import UserError

T = TypeVar("T")
SHOWN_PROBLEMS = 20
MIN_IMAGES = 4  # with fewer, holding out a test and a validation view leaves hardly any to train on
SHOWN_CHARACTERS = 200  # of each part of a problem
MIN_AXIS_SPREAD = 0.05  # mean squared sine of the angles between optical axes: 13 degrees
MIN_EXPLAINED = 0.5  # fraction of the distances to the axes that a focus must explain otherwise
MIN_COMMON_VIEW = 0.7  # length of the mean view direction of cameras that face one way
MAX_SKEW = 1e-3  # of R R^T from the identity, for a rotation that is used as it is


class Problem(NamedTuple):
    """One thing that is wrong with a scene: which file, which key in it, why, and what to do."""

    file: str
    key: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return ": ".join(one_line(part) for part in self if part)


def one_line(text: str) -> str:
    """Make text from a file safe to print: escape newlines, control characters and surrogates, and cut it short."""
    shown = text[:SHOWN_CHARACTERS] + ("..." if len(text) > SHOWN_CHARACTERS else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


class SceneError(UserError, ValueError):
    """All problems that were found in a scene; the message lists the first 20, one a line."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = list(problems)
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"... and {len(self.problems) - SHOWN_PROBLEMS} more ({len(self.problems)} in all)")
        super().__init__("\n".join(lines))


class NoViews(SceneError):
    """Report that a scene has no view in the split asked for; the scene itself may be fine to train on."""


@dataclasses.dataclass(frozen=True)
class Similarity:
    """normalised = scale * rotation @ x + shift, with x in the units and axes of the file (float64)."""

    scale: float = 1.0
    rotation: Float[np.ndarray, "3 3"] = dataclasses.field(default_factory=lambda: np.eye(3))
    shift: Float[np.ndarray, "3"] = dataclasses.field(default_factory=lambda: np.zeros(3))

    def points(self, x: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """File coordinates to normalised ones."""
        return self.scale * x @ self.rotation.T + self.shift

    def points_back(self, x: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Normalised coordinates to the file's."""
        return (x - self.shift) @ self.rotation / self.scale

    def poses(self, c2w: Float[np.ndarray, "*b 3 4"]) -> Float[np.ndarray, "*b 3 4"]:
        """Camera-to-world matrices of the file's world to those of the normalised one."""
        return np.concatenate([self.rotation @ c2w[..., :3], self.points(c2w[..., 3])[..., None]], -1)

    def poses_back(self, c2w: Float[np.ndarray, "*b 3 4"]) -> Float[np.ndarray, "*b 3 4"]:
        """The inverse of `poses`."""
        return np.concatenate([self.rotation.T @ c2w[..., :3], self.points_back(c2w[..., 3])[..., None]], -1)

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale, "rotation": self.rotation.tolist(), "shift": self.shift.tolist()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Similarity":
        return Similarity(float(data["scale"]), np.array(data["rotation"]), np.array(data["shift"]))


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images of one split.

    Attributes:
      images: one (h, w, 3) or (h, w, 4) sRGB array a view, as `to_unit` reads it: uint8, uint16 or float32; a fourth
        channel is straight alpha. Sizes may differ, the number of channels and the type do not.
      cameras: one a view, in the normalised world (float32 numpy).
      names: one a view, unique, for reports and files.
      transform: the file's world to the normalised one; the same for every split of a scene.
      unbounded: whether matter may lie outside the normalised box [-1, 1]^3.
      notes: what the loader decided or left out, one line each, to be told to the user.
      masks: one a view, True where its pixels may be learned from and are scored; None: everywhere.
      depths: one a view, distance along the ray in units of the normalised world, 0 where not known; None: nowhere.
      points: sparse points of the scene in the normalised world, where the file has any.
      point_colours: their sRGB colours, where the file has any.
      axes_kept: whether +z is that of the file, as its format promises, and not what the cameras say is up.
    """

    images: Sequence[Real[np.ndarray, "_ _ c"]]
    cameras: Cameras
    names: Sequence[str]
    transform: Similarity
    unbounded: bool
    notes: Sequence[str] = ()
    masks: Sequence[Bool[np.ndarray, "_ _"]] | None = None
    depths: Sequence[Float32[np.ndarray, "_ _"]] | None = None
    points: Float[np.ndarray, "m 3"] | None = None
    point_colours: UInt8[np.ndarray, "m 3"] | None = None
    axes_kept: bool = False

    def __post_init__(self):
        each = [x for x in (self.images, self.cameras, self.names, self.masks, self.depths) if x is not None]
        if len(lengths := {len(x) for x in each}) != 1:
            raise ValueError(f"a scene needs as many images as cameras, names and so on, got {sorted(lengths)}")
        if len(kinds := {str(image.dtype) for image in self.images}) > 1:
            raise ValueError(f"a scene's images need one type, got {sorted(kinds)}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_alpha(self) -> bool:
        return all(image.shape[-1] == 4 for image in self.images)

    def digest(self) -> str:
        """sha256 of all but the notes: equal if and only if training would see the same scene."""
        sha = hashlib.sha256(json.dumps([list(self.names), self.transform.to_json(), self.unbounded]).encode())
        cameras = [getattr(self.cameras, name) for name in ("c2w", "K", "distortion", "size", "model")]
        given = {"cameras": cameras, "images": self.images, "masks": self.masks, "depths": self.depths}
        given |= {name: None if (x := getattr(self, name)) is None else [x] for name in ("points", "point_colours")}
        for name, arrays in given.items():
            for array in map(np.asarray, arrays or ()):
                sha.update(f"{name} {array.dtype} {array.shape}".encode())
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def select(self, indices: Sequence[int]) -> "Scene":
        """The scene of some of the views."""
        return dataclasses.replace(
            self,
            images=[self.images[i] for i in indices],
            cameras=self.cameras[np.asarray(indices, int)],
            names=[self.names[i] for i in indices],
            masks=None if self.masks is None else [self.masks[i] for i in indices],
            depths=None if self.depths is None else [self.depths[i] for i in indices],
        )


def to_unit(values: Real[Array | np.ndarray, "*b"]) -> Float32[Array | np.ndarray, "*b"]:
    """Colours and alpha as they are stored, in [0, 1]: integers by the largest of their type, float32 as it is."""
    if values.dtype == np.float32:
        return values
    return values.astype(np.float32) / np.iinfo(values.dtype).max


def read_bytes(path: Path, limit: int) -> bytes:
    """What is in a file of at most `limit` bytes. Raises SceneError for a larger one, or one that cannot be read."""
    try:
        if path.stat().st_size > limit:
            reason = f"implausibly large, more than {limit / 1e6:g} MB"
            raise SceneError([Problem(path.name, "", reason, "check that it is the right file")])
        return path.read_bytes()
    except OSError as error:
        fix = "make the file readable, or copy it again"
        raise SceneError([Problem(path.name, "", error.strerror or str(error), fix)]) from error


def every_nth(count: int, split: str, n: int) -> list[int]:
    """Views of a split where the files name none: every n-th view (0, n, 2n, ...) is held out."""
    return [i for i in range(count) if (i % n == 0) == (split != "train")]


def hold_out(items: Sequence[T], n: int) -> dict[str, list[T]]:
    """All three splits where the files name none: every n-th view is "test", every n-th of the others also "val"."""
    splits = {split: [items[i] for i in every_nth(len(items), split, n)] for split in ("train", "test")}
    splits["val"] = [splits["train"][i] for i in every_nth(len(splits["train"]), "val", n)]
    return splits


def no_views(split: str, count: int, file: str, key: str = "") -> SceneError:
    """Return the error for a split that has no view.

    Args:
      split: "train", "val" or "test".
      count: how many images the scene has.
      file: the file that lists them.
      key: where it names the views of the split, if it does.
    """
    if count < 2:
        reason = "one image: a scene needs at least two, one of them is held out"
        return SceneError([Problem(file, "", reason, "add images")])
    if split == "train":
        fix = "add images" if count < MIN_IMAGES else "hold out fewer with --config.scene.every=8"
        if key:
            fix = "list images in it"
        return SceneError([Problem(file, key, "no view in split 'train'", fix)])
    instead = "add images" if split == "val" else "--config.eval_split=val scores every 8th training view instead"
    return NoViews([Problem(file, key, f"no view in split '{split}'", instead)])


def focus_point(c2w: Float[np.ndarray, "n 3 4"], distance: float | None = None) -> Float[np.ndarray, "3"]:
    """Return the point that the cameras look at: the nearest to all optical axes.

    For a camera at o looking along the unit vector d, the squared distance of x to the axis is
    |(I - d d^T)(x - o)|^2; setting the gradient of the mean to zero gives a 3x3 linear system.
    Nearly parallel axes leave the position along them open, and the noise of the poses would
    decide it: see `axes_meet`. The result then lies on the mean axis through the cameras' middle.

    Args:
      c2w: camera-to-world, OpenGL axes.
      distance: of the matter that the cameras see, where it is known; it places the focus along
        axes that do not meet. Without it their focus is the middle of the cameras.

    Returns: the focus in the world of `c2w`.
    """
    axes, lengths, held = _axis_system(c2w)
    middle = c2w[:, :, 3].mean(0)
    focus = middle + axes @ np.where(held, lengths, 0.0)
    view = -c2w[:, :, 2].mean(0)
    if distance is None or held.all() or not np.linalg.norm(view) > MIN_COMMON_VIEW:
        return focus
    view = view / np.linalg.norm(view)
    return focus + (distance - (focus - middle) @ view) * view


def axes_meet(c2w: Float[np.ndarray, "n 3 4"]) -> bool:
    """Return whether the optical axes determine a focus in all three directions.

    They do along directions in which they differ, and along their common direction if moving the
    focus there explains most of the distances to the axes. Parallel axes with jitter explain
    about 1 / (2 n) of them, a capture that faces one thing nine tenths and more.
    """
    return bool(_axis_system(c2w)[2].all())


def _axis_system(c2w: Float[np.ndarray, "n 3 4"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve for the focus by eigenvectors: their columns, steps from the middle, which are held.

    In the eigenbasis of the system the mean squared distance falls by eigenvalue * step^2 along
    each eigenvector, independently of the others.
    """
    back, position = c2w[:, :, 2], c2w[:, :, 3]
    across = np.eye(3) - back[:, :, None] * back[:, None, :]
    offsets = np.einsum("nij,nj->ni", across, position - position.mean(0))
    values, axes = np.linalg.eigh(across.mean(0))
    steps = axes.T @ offsets.mean(0) / np.maximum(values, 1e-12)
    gains = values * steps**2
    left = np.maximum(np.square(offsets).sum(-1).mean() - gains.sum(), 0.0)
    explains = gains > MIN_EXPLAINED / (1.0 - MIN_EXPLAINED) * left
    ahead = (axes @ np.diag(steps)).T @ -back.mean(0) > 0.0
    return axes, steps, (values > MIN_AXIS_SPREAD) | (explains & ahead & (steps != 0.0))


def rotation_to_z(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes `up` to +z."""
    up = up / np.linalg.norm(up)
    axis, cosine = np.cross(up, [0.0, 0.0, 1.0]), up[2]
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def check_poses(c2w: np.ndarray, file: str, keys: Sequence[str]) -> Iterator[Problem]:
    """Find what is wrong with camera-to-world matrices that must be rigid as they are.

    Args:
      c2w: the matrices, (n, 3, 4).
      file: the file that they come from, for the problems.
      keys: where in the file each of them is.

    Returns:
      A problem for each matrix with numbers that are not finite or without a rotation (to `MAX_SKEW`).
    """
    for matrix, key in zip(c2w, keys, strict=True):
        if (problem := find_not_rigid(matrix, file, key)) is not None:
            yield problem


def find_not_rigid(matrix: np.ndarray, file: str, key: str) -> Problem | None:
    """Return what keeps a 3x4 matrix of `file`, at `key`, from being rigid and camera-to-world; None for nothing."""
    if not np.isfinite(matrix).all():
        return Problem(file, key, "numbers that are not finite", "export the pose again")
    rotation = matrix[:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > MAX_SKEW:
        lengths = np.linalg.norm(rotation, axis=0)
        if np.abs(rotation.T @ rotation - np.diag(lengths**2)).max() <= 10 * MAX_SKEW * lengths.max() ** 2:
            shown = ", ".join(f"{length:.4g}" for length in lengths)
            fix = "divide each by its length, or apply the camera's scale before the export"
            return Problem(file, key, f"rotation is not orthonormal: its columns have lengths {shown}", fix)
        fix = "write a rigid camera-to-world matrix, with more digits if they are rounded"
        return Problem(file, key, "rotation is not orthonormal", fix)
    if np.linalg.det(rotation) < 0:
        fix = "negate one axis: axes are +x right, +y up, -z ahead"
        return Problem(file, key, "rotation mirrors (determinant -1)", fix)
    return None
