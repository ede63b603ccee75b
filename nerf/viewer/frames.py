"""Frames of a run from any camera, coarse to fine, in chunks of two compiled programs.

A frame is a sequence of tiers. The pixels of a tier are the middle ones of blocks of 3 x 3 pixels
of the next tier, so every tier keeps what the coarser one has rendered, nothing moves when a finer
one appears, and the finest one is the picture that a film has. All tiers and all sizes of pictures
are chunks of two sizes, so that nothing is compiled while a user flies.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, PyTree

from nerf.cameras.cameras import Cameras, pixels_to_rays
from nerf.rendering.antialiasing import smooth_edges
from nerf.rendering.images import RenderingStopped, check_colours, render_places
from nerf.scenes.base import LabelClass
from nerf.viewer.turns import Turns

BLOCK = 3  # pixels along each side of a block that the next coarser tier sees as one
MIN_RAYS = 1024  # of the coarsest tier
SMALL_CHUNKS = 8  # small chunks, for coarse tiers and for what is left, in a chunk of usual size
IN_FLIGHT = 3  # chunks submitted and not fetched yet: enough to keep two cores busy
SMALLEST_SIDE = 48  # pixels of the longer side of a picture while the camera moves
MIN_OPACITY = 0.5  # of a pixel that sees a point
RATE_MEMORY = 0.7  # share of the old rate in a new estimate


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture of one tier.

    Attributes:
      camera: of this tier, in the normalised world.
      picture: arrays by name, as those of `make_render_image`.
      stride: pixels of the finest tier along each side of one of this tier.
      seconds: since the frame was begun.
      classes: those that the picture may show.
    """

    camera: Cameras
    picture: dict[str, np.ndarray]
    stride: int
    seconds: float
    classes: Sequence[LabelClass] = ()


class FrameRenderer:
    """Renders frames of a model; several threads may use it at once.

    Args:
      source: returns the model's static part and arrays; asked for each frame, in a turn.
      background: sRGB behind transparent rays.
      chunk: largest number of rays rendered at once.
      edge_rays: see `nerf.rendering.model.Model`.
      turns: threads take turns chunk by chunk.
      in_flight: chunks submitted and not fetched yet; with 1, nothing runs between two turns.
      classes: those of the model.

    Attributes:
      rate: rays per second, estimated from the frames so far; 0 before the first.
    """

    def __init__(
        self,
        source: Callable[[], tuple[nnx.GraphDef, PyTree]],
        background: Sequence[float],
        chunk: int,
        edge_rays: int = 1,
        turns: Turns | None = None,
        in_flight: int = IN_FLIGHT,
        classes: Sequence[LabelClass] = (),
    ):
        self.classes = classes
        self.source, self.edge_rays = source, edge_rays
        self.chunk, self.small = chunk, max(chunk // SMALL_CHUNKS, 1)
        self.colour = jnp.asarray(background, jnp.float32)
        self.turns = Turns() if turns is None else turns
        self.in_flight = in_flight
        self.rate = 0.0

    def frames(
        self, camera: Cameras, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Frame]:
        """Yield the tiers of a frame, coarse to fine.

        Args:
          camera: of the finest tier, without leading axes.
          should_stop: asked between chunks, such as whether the camera has moved.

        Raises:
          RenderingStopped: soon after `should_stop` returns True.
          RenderingError: a colour is not finite.
        """
        began = time.perf_counter()
        with self.turns.turn():
            graph, state = self.source()
        known: dict[str, np.ndarray] | None = None
        for stride in strides(camera):
            coarse = coarser(camera, stride)
            picture = self._tier(graph, state, coarse, known, should_stop)
            check_colours(picture["rgb"])
            known = picture
            # Antialiasing belongs to the finest tier, and is the last thing that a frame gets.
            yield Frame(coarse, picture, stride, time.perf_counter() - began, self.classes)
        if self.edge_rays > 1 and known is not None:

            def render(places: Float[np.ndarray, "m 2"]) -> dict[str, np.ndarray]:
                return self._render(graph, state, camera, places, should_stop)

            smooth = smooth_edges(known, self.edge_rays, render)
            yield Frame(camera, smooth, 1, time.perf_counter() - began, self.classes)

    def still(self, camera: Cameras) -> Frame:
        """Return the finest tier of a frame."""
        return deque(self.frames(camera), maxlen=1)[0]

    def pick(self, camera: Cameras, place: tuple[float, float]) -> Float[np.ndarray, "3"] | None:
        """Return the point that one pixel position sees, or None where nothing is.

        Args:
          camera: without leading axes, in the normalised world.
          place: position (x, y) in pixels.
        """
        with self.turns.turn():
            graph, state = self.source()
        places = np.asarray([place], np.float32)
        seen = self._render(graph, state, camera, places, lambda: False)
        if not seen["opacity"][0] > MIN_OPACITY:
            return None
        rays = pixels_to_rays(jax.tree.map(lambda x: jnp.asarray(x)[None], camera), places)
        origin, direction = np.asarray(rays.origins)[0], np.asarray(rays.directions)[0]
        return (origin + seen["depth"][0] * direction).astype(np.float64)

    def use(self, split: tuple[nnx.GraphDef, PyTree], camera: Cameras) -> None:
        """Render another model from now on, which is compiled before the next frame needs it.

        Args:
          split: the model's static part and arrays.
          camera: any camera of the lens that frames have.
        """
        self._compile(split, camera)
        self.source = lambda: split

    def _compile(self, split: tuple[nnx.GraphDef, PyTree], camera: Cameras) -> None:
        device = jax.tree.map(jnp.asarray, camera)
        for size in (self.small, self.chunk):
            some = np.zeros((size, 2), np.float32)
            jax.block_until_ready(render_places(*split, self.colour, device, some))

    def quantities(self, camera: Cameras) -> list[str]:
        """Return the names of what a picture has, without rendering or compiling."""
        with self.turns.turn():
            graph, state = self.source()
        some = np.zeros((self.small, 2), np.float32)
        device = jax.tree.map(jnp.asarray, camera)
        render = partial(render_places, graph)
        return list(jax.eval_shape(render, state, self.colour, device, some))

    def warm_up(self, camera: Cameras) -> Frame:
        """Compile the programs, measure the first rate, and return a small frame."""
        with self.turns.turn():
            split = self.source()
        self._compile(split, camera)
        side = max(round(self.chunk**0.5), SMALLEST_SIDE)
        return self.still(fitted(camera, side, side))

    def moving_size(self, size: tuple[int, int], seconds: float) -> tuple[int, int]:
        """Return the size of a picture that is rendered within a time.

        Args:
          size: width and height that the picture has at most; the aspect is kept.
          seconds: the time, such as 1/15.
        """
        width, height = size
        # Whole chunks: a chunk costs the same when a part of it is padding.
        chunks = max(int(self.rate * seconds / self.small), 1)
        factor = (chunks * self.small / (width * height)) ** 0.5
        factor = max(factor, SMALLEST_SIDE / max(width, height))
        factor = min(factor, 1.0)
        return max(int(width * factor), 1), max(int(height * factor), 1)

    def _tier(
        self,
        graph: nnx.GraphDef,
        state: PyTree,
        camera: Cameras,
        known: dict[str, np.ndarray] | None,
        should_stop: Callable[[], bool],
    ) -> dict[str, np.ndarray]:
        """Render the pixels of a tier that the coarser tier, `known`, does not have."""
        width, height = (int(side) for side in camera.size)
        missing = np.ones((height, width), bool)
        middles = np.s_[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
        if known is not None:
            missing[middles] = False
        rendered = self._render(graph, state, camera, centres(missing), should_stop)
        picture = {}
        for name, values in rendered.items():
            image = np.empty((height, width, *values.shape[1:]), values.dtype)
            image[missing] = values
            if known is not None:
                image[middles] = known[name]
            picture[name] = image
        return picture

    def _render(
        self,
        graph: nnx.GraphDef,
        state: PyTree,
        camera: Cameras,
        places: Float[np.ndarray, "m 2"],
        should_stop: Callable[[], bool],
    ) -> dict[str, np.ndarray]:
        """Render image positions (x, y) of a camera, in chunks and in turns."""
        began = time.perf_counter()
        camera = jax.tree.map(jnp.asarray, camera)
        sizes = self._chunks(len(places))
        padded = np.zeros((sum(sizes), 2), np.float32)
        padded[: len(places)] = places
        waiting, parts = deque[dict[str, jax.Array]](), list[dict[str, np.ndarray]]()
        for some in np.split(padded, np.cumsum(sizes)[:-1]):
            if should_stop():
                raise RenderingStopped
            with self.turns.turn():
                waiting.append(render_places(graph, state, self.colour, camera, some))
                if len(waiting) >= self.in_flight:
                    parts.append(jax.device_get(waiting.popleft()))
        parts += [jax.device_get(part) for part in waiting]
        self._note_rate(len(padded) / (time.perf_counter() - began))
        return {
            name: np.concatenate([part[name] for part in parts])[: len(places)] for name in parts[0]
        }

    def _chunks(self, count: int) -> list[int]:
        """Return the sizes of the chunks of `count` rays, at least one."""
        whole, rest = divmod(count, self.chunk)
        # A chunk of usual size costs as much as some small ones.
        if rest > self.chunk // 2:
            return [self.chunk] * (whole + 1)
        small = -(-rest // self.small)
        return [self.chunk] * whole + [self.small] * small or [self.small]

    def _note_rate(self, rate: float) -> None:
        old = self.rate or rate
        self.rate = RATE_MEMORY * old + (1.0 - RATE_MEMORY) * rate


def strides(camera: Cameras) -> list[int]:
    """Return the strides of the tiers of a frame, coarse to fine: 9, 3, 1 for example."""
    width, height = (int(side) for side in camera.size)
    found = [1]
    while width * height >= MIN_RAYS * (BLOCK * found[-1]) ** 2 and _fits(
        width, height, BLOCK * found[-1]
    ):
        found.append(BLOCK * found[-1])
    return found[::-1]


def _fits(width: int, height: int, stride: int) -> bool:
    return min(width, height) > stride // 2


def coarser(camera: Cameras, stride: int) -> Cameras:
    """Return the camera whose pixels are the middle ones of blocks of stride x stride pixels.

    Blocks at the right and lower border may lack their last pixels, but not their middle.
    """
    size = (np.asarray(camera.size) - stride // 2 + stride - 1) // stride
    K = np.diag([1.0 / stride, 1.0 / stride, 1.0]) @ np.asarray(camera.K, np.float64)
    return dataclasses.replace(camera, K=K.astype(np.float32), size=size.astype(np.int32))


def centres(chosen: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "m 2"]:
    """Return the centres (x, y) of the chosen pixels, row by row."""
    row, column = np.nonzero(chosen)
    return np.stack([column, row], -1).astype(np.float32) + 0.5


def fitted(camera: Cameras, width: int, height: int) -> Cameras:
    """Return a camera with another size that sees the same angle from top to bottom.

    Args:
      camera: without leading axes, with its principal point anywhere.
      width: pixels.
      height: pixels.
    """
    K = np.asarray(camera.K, np.float64)
    factor = height / float(camera.size[1])
    focal = factor * K[1, 1]
    new = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    size = np.array([width, height], np.int32)
    return dataclasses.replace(camera, K=new.astype(np.float32), size=size)
