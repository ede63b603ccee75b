"""All measured claims, with their arms, controls and margins.

Margins were set before the first measurement. Widths are chosen so that the arms of a row have
equal numbers of parameters to within a tenth.
"""

from benchmarks.systems.rows import (
    coordinates,
    grids,
    meaning,
    networks,
    pictures,
    sampling,
    surfaces,
)

ROWS = [
    *coordinates.ROWS,
    *pictures.ROWS,
    *networks.ROWS,
    *grids.ROWS,
    *sampling.ROWS,
    *surfaces.ROWS,
    *meaning.ROWS,
]
