"""Read the files of checked frames into a scene.

One visit to a frame reads its image and all of its maps. Memory for all arrays is allocated before
any file is decoded.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import ORTHOGRAPHIC
from nerf.scenes.base import LabelClass, Problem, Scene, SceneError, Similarity
from nerf.scenes.decode import convert
from nerf.scenes.frames import Frame, ReducedFrame, reduction
from nerf.scenes.images import add_alpha, in_parallel, read_image, reported
from nerf.scenes.labels import FOLDERS, with_labels
from nerf.scenes.maps import MAPS, mask_unseen
from nerf.scenes.palette import classes_in
from nerf.scenes.storage import allocate

MAX_CLASSES = 1000


def to_scene(
    frames: Sequence[Frame],
    transform: Similarity,
    root: Path,
    max_side: int,
    unbounded: bool,
    notes: Sequence[str],
) -> Scene:
    """Read the files of `frames`, images with alpha if bounded, and build a scene.

    Args:
      frames: the checked frames.
      transform: from the file's world to the normalised one.
      root: the scene folder.
      max_side: longest side in pixels; larger images are reduced by an integer factor.
      unbounded: whether the scene may extend beyond the normalised box [-1, 1]^3.
      notes: notes of the loader, to which further notes are appended.

    Raises:
      SceneError: files cannot be decoded, or images have no pixel to train on.
    """
    frames, of_labels = with_labels(frames, root)
    factors = reduction(frames, max_side)
    notes = [*notes, *_notes(frames, max(factors), max_side), *of_labels]
    cameras = _cameras(frames, transform, factors)
    reduced = [
        ReducedFrame(frame, factor, cameras[i], transform.scale)
        for i, (frame, factor) in enumerate(zip(frames, factors, strict=True))
    ]
    # In an unbounded scene any alpha channel is opaque.
    images, maps, unread = read_frames(reduced, root, 3 if unbounded else 4)
    notes = [*notes, *unread]
    names = [frame.name for frame in frames]
    if not unbounded:
        _refuse_empty(names, [image[..., 3] for image in images], "fully transparent", "remove it")
    maps, more = mask_unseen(maps, cameras)
    fix = "remove it, or correct its mask (white pixels count)"
    _refuse_empty(names, maps.get("mask", ()), "fully masked", fix)
    classes = _classes(frames, maps)
    notes = [*notes, *more]
    if len(classes) > MAX_CLASSES:
        reason = f"{len(classes)} different numbers are no classes"
        notes.append(f"labels: not read: {reason}: move instances into the folder instances")
        maps, classes = {name: x for name, x in maps.items() if name != "labels"}, ()
    return Scene(images, cameras, names, transform, unbounded, notes, maps, classes=classes)


def _classes(
    frames: Sequence[Frame], maps: Mapping[str, Sequence[np.ndarray]]
) -> Sequence[LabelClass]:
    """Return the classes of the scene's file, or those that its label maps have."""
    palette = frames[0].palette
    if palette is None:
        return ()
    return palette.classes if palette.file else classes_in(maps["labels"])


def read_frames(
    reduced: Sequence[ReducedFrame], root: Path, channels: int
) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]], list[str]]:
    """Read the image and the maps of every frame, in parallel.

    Args:
      reduced: the frames.
      root: the scene folder, to which the paths in errors are relative.
      channels: 3 to drop alpha channels, or 4 to give every image one.

    Returns:
      The images, all with the most precise of their types; by name each of `MAPS` of which any
      frame has a file, with its default in frames without one; and notes on labels that cannot be
      read, which have the default too.

    Raises:
      SceneError: files cannot be decoded (it lists all of them), or there is no space for them.
    """
    kinds = {view.frame.header.kind for view in reduced}
    kind = max(kinds, key=lambda kind: np.dtype(kind).itemsize)
    shapes = [tuple(np.asarray(view.camera.size)[::-1].tolist()) for view in reduced]
    images = _allocate([(*shape, channels) for shape in shapes], kind)
    maps = {
        name: _allocate([(*shape, *wanted.channels) for shape in shapes], wanted.kind)
        for name, wanted in MAPS.items()
        if any(getattr(view.frame, file) for view in reduced for file in wanted.files)
    }
    unread: dict[str, dict[int, Problem]] = {name: {} for name in FOLDERS}

    def visit(i: int) -> list[Problem]:
        view, frame = reduced[i], reduced[i].frame
        problems: list[Problem] = []
        with reported(frame.path, root, problems):
            pixels = convert(read_image(frame.path, view.factor), kind)
            pixels = add_alpha(pixels) if channels == 4 else pixels[..., :channels]
            np.copyto(images[i], pixels.reshape(images[i].shape))
        for name, arrays in maps.items():
            of_map = _read_map(name, arrays[i], view, root)
            if of_map and name in unread:
                unread[name][i] = of_map[0]
            else:
                problems += of_map
        return problems

    if found := in_parallel(visit, range(len(reduced))):
        raise SceneError(found)
    return images, maps, [note for name in unread for note in _note_unread(name, unread[name])]


def _read_map(name: str, array: np.ndarray, view: ReducedFrame, root: Path) -> list[Problem]:
    """Read a map of a frame into an array, and return its problems."""
    problems: list[Problem] = []
    default = MAPS[name].default
    array.fill(default)
    for file, read in MAPS[name].files.items():
        if (path := getattr(view.frame, file)) is not None:
            with reported(path, root, problems):
                np.copyto(array, read(path, view), where=array == default)
    return problems


def _note_unread(name: str, problems: Mapping[int, Problem]) -> Iterator[str]:
    """Yield a note if label files cannot be read: most scenes are trained without labels."""
    if problems:
        files = "1 file is" if len(problems) == 1 else f"{len(problems)} files are"
        yield f"{name}: {files} not read: {problems[min(problems)]}"


def _allocate(shapes: Sequence[tuple[int, ...]], kind: type[np.generic]) -> list[np.ndarray]:
    """Return uninitialised arrays, which are views of one allocation."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    flat = allocate(int(ends[-1]) * np.dtype(kind).itemsize).view(kind)
    parts = np.split(flat, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _notes(frames: Sequence[Frame], factor: int, max_side: int) -> list[str]:
    """Return notes on reduced images, and on photos that are stored rotated."""
    notes = []
    if factor > 1:
        limit = f"no side exceeds {max_side} (--config.scene.max_side)"
        notes.append(f"images reduced by {factor} so that {limit}")
    if turned := sum(frame.orientation > 2 for frame in frames):
        up = "up is that of the upright photos, pixels and poses stay as stored"
        shown = f"{turned} of {len(frames)} photos are stored rotated (EXIF orientation)"
        notes.append(f"{shown}: {up}")
    return notes


def _refuse_empty(names: Sequence[str], parts: Sequence[np.ndarray], reason: str, fix: str) -> None:
    """Raise a SceneError that lists the views whose array has no nonzero value."""
    if empty := [name for name, part in zip(names, parts, strict=False) if not part.any()]:
        raise SceneError([Problem(name, "", reason, fix) for name in empty])


def _cameras(frames: Sequence[Frame], transform: Similarity, factors: Sequence[int]) -> Cameras:
    """Return the cameras of the reduced images in the normalised world."""
    K = np.stack([frame.K for frame in frames])
    K[:, :2] /= np.array(factors)[:, None, None]
    model = np.array([frame.model for frame in frames], np.int32)
    K[model == ORTHOGRAPHIC, :2, :2] /= transform.scale  # pixels per unit of the normalised world
    return Cameras(
        c2w=transform.poses(np.stack([frame.c2w for frame in frames])).astype(np.float32),
        K=K.astype(np.float32),
        distortion=np.stack([frame.distortion for frame in frames]).astype(np.float32),
        size=np.array(
            [[side // n for side in frame.size] for frame, n in zip(frames, factors, strict=True)],
            np.int32,
        ),
        model=model,
    )
