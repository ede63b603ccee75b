"""Contact sheets show every chosen frame once, in order, with its number."""

import numpy as np
import pytest

from nerf.output.contact_sheet import GAP, arrange


@pytest.mark.parametrize("count", [1, 5, 24])
@pytest.mark.parametrize("high, wide", [(40, 60), (60, 40)])
def test_tiles_are_in_reading_order(count, high, wide):
    tiles = [np.full((high, wide, 3), 40 + 5 * i, np.uint8) for i in range(count)]
    sheet = arrange(tiles, [str(i) for i in range(count)])
    columns = (sheet.shape[1] + GAP) // (wide + GAP)
    rows = (sheet.shape[0] + GAP) // (high + GAP)
    assert (rows - 1) * columns < count <= rows * columns
    assert 0.4 < sheet.shape[0] / sheet.shape[1] < 2.5
    for i in range(count):
        y, x = i // columns * (high + GAP), i % columns * (wide + GAP)
        place = sheet[y : y + high, x : x + wide]
        # The lower half of a tile is the picture; the label is in the upper left corner.
        assert (place[high // 2 :] == 40 + 5 * i).all()
        assert (place[: high // 2, : wide // 2] == 255).any()


def test_different_labels_look_different():
    tile = np.zeros((40, 60, 3), np.uint8)
    assert (arrange([tile], ["17"]) != arrange([tile], ["71"])).any()
