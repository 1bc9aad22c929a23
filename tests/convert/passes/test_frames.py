"""The pass that writes gathered frames as a convolution, against the unchanged graph."""

from __future__ import annotations

import numpy as np
import pytest

from convert.passes.frontend.frames import frames_by_convolution
from tests.support.graphs import assert_same, graph_of, normal, ops

GATHER = "g (float[batch, 40] x) => (float[batch, F, T] y) { y = Gather <axis = 1> (x, places) }"


def gathered(places: np.ndarray) -> str:
    return GATHER.replace("F", str(places.shape[0])).replace("T", str(places.shape[1]))


@pytest.mark.parametrize(
    ("first", "stride", "frames", "taps"), [(0, 4, 9, 8), (0, 8, 5, 8), (3, 5, 6, 7), (2, 9, 4, 3)]
)
def test_frames_are_cut_by_a_convolution(first: int, stride: int, frames: int, taps: int) -> None:
    places = first + stride * np.arange(frames)[:, None] + np.arange(taps)
    model = assert_same(graph_of(gathered(places), places=places), normal(3, 40), frames_by_convolution, tolerance=0)
    assert ops(model)["Conv"] == 1 and "Gather" not in ops(model)


@pytest.mark.parametrize("spoil", ["uneven", "backwards", "negative"])
def test_other_gathers_stay(spoil: str) -> None:
    places = 4 * np.arange(5)[:, None] + np.arange(8)
    if spoil == "uneven":
        places[3] += 1
    elif spoil == "backwards":
        places = places[::-1].copy()
    else:
        places -= 4
    model = assert_same(graph_of(gathered(places), places=places), normal(3, 40), frames_by_convolution, tolerance=0)
    assert ops(model) == {"Gather": 1}
