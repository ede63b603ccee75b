"""What `tests.support.children` imports once, before it forks.

JAX is imported, but has not begun to use a device.
"""

import nerf.output.video_rendering
import nerf.training.loop  # noqa: F401
