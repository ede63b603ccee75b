"""Fields: (points, viewdirs) -> named quantities, one family a file.

A field is a callable `field(points (*b, 3), viewdirs (*b, 3)) -> dict` with at least `density` (*b), >= 0 per unit of
length in the box, and `rgb` (*b, 3), sRGB in [0, 1]. Whatever else it predicts is composited under its own name.
Points lie in [-1, 1]^3: the model's space has mapped them there; they come as `Gaussians` where the
field's `encoding`, its attribute of that name, asks for them. A field that can predict density alone does so in a
method `density(points) -> (*b)`, which occupancy grids call.
"""
