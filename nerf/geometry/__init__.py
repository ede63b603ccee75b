"""Geometry: how opaque an interval is, from the quantities that a field predicts there.

A geometry is a callable `geometry(quantities, delta) -> tau`. `quantities` maps names to arrays (*b) or (*b, c),
`delta` (*b) holds the lengths of the intervals, and `tau` (*b) >= 0 is their optical depth: alpha = 1 - exp(-tau).
"""
