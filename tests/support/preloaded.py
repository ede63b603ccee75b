"""What `tests.support.children` imports once, before it forks. JAX is imported, but has not begun to use a device."""

import nerf.output.films
import nerf.training.loop  # noqa: F401
