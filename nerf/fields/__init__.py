"""Fields: map points and view directions to named quantities, one family per file.

A field is a callable `field(points (*b, 3), viewdirs (*b, 3)) -> dict` that returns at least
`density` (*b), >= 0 and per unit of length in the box, and `rgb` (*b, 3), sRGB in [0, 1]. Every
other quantity in the dictionary is composited under its own name. Points lie in [-1, 1]^3, to which
the model's space has mapped them. They are `Gaussians` if the field's attribute `encoding` takes
Gaussians. A field that can compute density alone has a method `density(points) -> (*b)`, which
occupancy grids call.
"""
