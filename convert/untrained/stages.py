"""The stages of EfficientNet, scaled as in Perch's versions; needs neither TensorFlow nor JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """A run of MBConv blocks; only the first has the stride."""

    blocks: int
    features: int
    kernel: int
    stride: int
    expansion: int

    def padding(self, stride: int, sizes: Sequence[int]) -> Any:
        """The padding of a depthwise convolution over height and width, in pairs or as "SAME".

        At stride 2 Perch pads by itself, so that even and odd sizes are halved in the same way.
        """
        before = self.kernel // 2
        return [(before - (1 - size % 2), before) for size in sizes] if stride == 2 else "SAME"


def rounded(features: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below `features`."""
    nearest = max(8, int(features + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * features else nearest


def scaled(stages: tuple[Stage, ...], width: float, depth: float) -> tuple[Stage, ...]:
    """Wider and deeper stages, by the two factors of EfficientNet's compound scaling."""
    return tuple(
        stage._replace(blocks=math.ceil(stage.blocks * depth), features=rounded(stage.features * width))
        for stage in stages
    )


B0 = (
    Stage(1, 16, 3, 1, 1),
    Stage(2, 24, 3, 2, 6),
    Stage(2, 40, 5, 2, 6),
    Stage(3, 80, 3, 2, 6),
    Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 2, 6),
    Stage(1, 320, 3, 1, 6),
)
"""Table 1 of "EfficientNet: Rethinking Model Scaling" (Tan and Le, 2019)."""

B1 = scaled(B0, 1.0, 1.1)
B3 = scaled(B0, 1.2, 1.4)
TINY = (Stage(1, 8, 3, 1, 1), Stage(2, 8, 3, 2, 2), Stage(1, 16, 5, 2, 6))
"""Every kind of block once, with little arithmetic: for tests."""
TINY_V2 = TINY + (Stage(1, 16, 3, 2, 2), Stage(2, 24, 5, 2, 2))
"""The same down to the 16 x 4 positions of Perch v2's head."""
