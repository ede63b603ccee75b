"""Mutants that `tests.support.mutants` draws and that behave as their original, with the reason."""

from typing import NamedTuple

SIZES = "how much is computed at once changes no result"


class Equivalent(NamedTuple):
    """A change of a module that changes no behaviour.

    Attributes:
      code: code that the module contains once; spaces and line breaks do not matter.
      mutant: what it is changed to.
      reason: why that changes nothing.
    """

    code: str
    mutant: str
    reason: str


EQUIVALENT = {
    "nerf/rendering/compositing.py": [
        Equivalent(
            "segment_sum(x, layout.ray, rays, indices_are_sorted=True)",
            "segment_sum(x, layout.ray, rays, indices_are_sorted=False)",
            "a promise to the compiler",
        ),
        Equivalent("size = x.shape[0]", "size = x.shape[-1]", "x has one axis"),
        Equivalent(
            "jnp.where(earlier(ray, -1, shift) == ray,",
            "jnp.where(earlier(ray, -2, shift) == ray,",
            "no ray has the number -1 or -2",
        ),
        Equivalent(
            "== ray, earlier(x, 0.0, shift), 0.0)",
            "== ray, earlier(x, -1.0, shift), 0.0)",
            "the mask excludes the padding",
        ),
    ],
    "nerf/rendering/intervals.py": [
        Equivalent(
            "layout.broadcast_to_samples(rays.radius[..., None])[..., 0]",
            "layout.broadcast_to_samples(rays.radius[..., None])[..., 1]",
            "JAX clamps an index beyond the one channel",
        ),
    ],
    "nerf/rendering/model.py": [
        Equivalent(
            "occupancy is not None and len(order) != 1",
            "occupancy is not None and len(order) > 1",
            "a model has a stage",
        ),
        Equivalent(
            "self.max_samples_per_ray = max_samples_per_ray or 0",
            "self.max_samples_per_ray = max_samples_per_ray or 1",
            "without a grid the size of the buffer is not used",
        ),
    ],
    "nerf/rendering/waves.py": [
        Equivalent("MIN_SLOTS = 2**8", "MIN_SLOTS = 2**9", SIZES),
    ],
    "nerf/cameras/lenses.py": [
        Equivalent(
            "jacobian[..., 0, 1] * jacobian[..., 1, 0]",
            "jacobian[..., 0, 1] * jacobian[..., 2, 0]",
            "JAX clamps an index beyond the two rows",
        ),
        Equivalent(
            "ahead = jnp.where(z < 0, -z, 1.0)",
            "ahead = jnp.where(z < 0, -z, 0.0)",
            "points behind the camera are not seen",
        ),
        Equivalent(
            "nowhere = pole & (jnp.abs(y) < 1e-8)",
            "nowhere = pole & (jnp.abs(y) <= 1e-8)",
            "differs for one number, where either answer is right",
        ),
    ],
    "nerf/cameras/cameras.py": [
        Equivalent(
            "chunk = min(2 ** (width * height).bit_length(), 2**16)",
            "chunk = min(2 ** (width * height).bit_length(), 1**16)",
            SIZES,
        ),
        Equivalent(
            "jnp.stack([index % camera.size[0], index // camera.size[0]], -1) + 0.5",
            "jnp.stack([index % camera.size[0], index // camera.size[0]], 1) + 0.5",
            "the indices have one axis",
        ),
        Equivalent(
            "np.concatenate([np.stack(side, -1) for side in rim])",
            "np.concatenate([np.stack(side, 1) for side in rim])",
            "sides have one axis",
        ),
        Equivalent(
            "directions * cameras.c2w[..., 2]).sum(-1)",
            "directions * cameras.c2w[..., 2]).sum(1)",
            "it is called with a list of pixels",
        ),
        Equivalent(
            "jnp.zeros_like(plane[..., 0])], -1)",
            "jnp.zeros_like(plane[..., 1])], -1)",
            "zeros of one shape",
        ),
        Equivalent(
            "min(2 ** (width * height).bit_length(), 2**16)",
            "min(2 ** (width * height).bit_length(), 2**15)",
            SIZES,
        ),
    ],
    "nerf/comparing/standard_errors.py": [
        Equivalent(
            "score.mean(0, keepdims=True) + score.mean()",
            "score.mean(0, keepdims=False) + score.mean()",
            "the means of the views broadcast over the seeds either way",
        ),
        Equivalent(
            "variance = float(difference.var(ddof=1)) if views > 1 else 0.0",
            "variance = float(difference.var(ddof=1)) if views > 1 else -1.0",
            "no error follows from 0 and from less",
        ),
    ],
    "nerf/comparing/statistics.py": [
        Equivalent(
            "float(score.mean(1).var(ddof=1)) if len(score) > 1 else 0.0",
            "float(score.mean(1).var(ddof=1)) if len(score) > 1 else -1.0",
            "with a single seed nothing is claimable, and the variance is not used",
        ),
        Equivalent(
            "open_ = [i for i in range(len(ps)) if weights[i] > 0.0]",
            "open_ = [i for i in range(len(ps)) if weights[i] != 0.0]",
            "no weight is negative",
        ),
        Equivalent(
            "sign = 1.0 if higher_is_better else -1.0",
            "sign = 2.0 if higher_is_better else -1.0",
            "only the order of the products counts",
        ),
        Equivalent(
            "(1.0 - MAIN_WEIGHT) / max(others, 1)",
            "(1.0 % MAIN_WEIGHT) / max(others, 1)",
            "1 % 0.9 is 0.1",
        ),
        Equivalent(
            "weights = [shares[column] / tested[column] if pair.claimable else 0.0",
            "weights = [shares[column] / tested[column] if pair.claimable else -1.0",
            "as 0: not positive",
        ),
        Equivalent(
            "np.full(1, max(count - 1.0, 1.0))",
            "np.full(1, max(count - 1.0, 0.0))",
            "differs for one scene, which has a spread of 0 and claims nothing",
        ),
    ],
}
