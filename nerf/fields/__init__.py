"""Fields: map samples to named quantities, one family per file.

A field is a callable `field(samples) -> dict`, from `nerf.fields.samples.Samples` to arrays (*b) or
(*b, c) by name. Each quantity is composited along the rays under its own name, apart from those
that the model's geometry hides. A field with `VolumeDensity` returns

  density  (*b), >= 0 and per unit of length in the box
  rgb      (*b, 3), sRGB in [0, 1]

The points lie in [-1, 1]^3, to which the model's space has mapped them. They are `Gaussians` if the
field's attribute `encoding` takes Gaussians. Whatever of a field's quantities is not used is not
computed, since everything is compiled. A field that is faster on a lattice than at as many points
has a method `on_lattice(axes)`, which returns the quantities of the geometry for occupancy grids.
"""
