"""Geometry: from the field's quantities to the optical depth of each interval.

A geometry is a callable `geometry(quantities, delta) -> tau`:

  quantities  the field's outputs by name, arrays (*b) or (*b, c)
  delta       lengths of the intervals, (*b)
  tau         their optical depths >= 0, (*b); the opacity is alpha = 1 - exp(-tau)
"""
