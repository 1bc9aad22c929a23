"""What becomes of scores once rows are finished: options that a run and the merge of a dataset share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.request.request import Request
from runtime.rows.blending import Blend, Read
from runtime.rows.block import Block, Columns
from runtime.rows.file_scale import check_file_scale, file_scaled
from runtime.rows.smoothing import smoothed


@dataclass(frozen=True)
class Postprocessing:
    """Makes of the rows that workers scored, which hold `columns`, those that are written.

    Each model's scores are scaled by its `file_scale` highest ones in a recording, then smoothed with the weights
    `smooth`, and then blended. `in_memory` is whether the rows of workers are in memory.
    """

    columns: Columns
    file_scale: int | None = None
    smooth: Sequence[float] | None = None
    blend: Blend | None = None
    in_memory: bool = False

    @classmethod
    def of(cls, columns: Columns, request: Request) -> Postprocessing:
        """What a request asks for.

        Raises:
            InputError: it cannot be done with such rows.
        """
        if request.file_scale is not None:
            check_file_scale(columns)
        blend = None if request.blend is None else Blend.made(columns, request.blend, request.blend_of)
        return cls(columns, request.file_scale, request.weights, blend)

    @property
    def written(self) -> Columns:
        """What the rows hold that are written."""
        options: dict[str, Any] = {} if self.file_scale is None else {"file_scale": self.file_scale}
        columns = self.columns
        if self.blend is not None:
            options |= {"blend": list(self.blend.weights.values()), "blend_of": self.blend.of}
            columns = self.blend.columns(columns)
        if not options:
            return columns
        about = dict(columns.about)
        if self.file_scale is not None:
            about.pop("thresholds", None)  # of probabilities, which scaled ones are not
        about["options"] = json.dumps({**json.loads(about["options"]), **options})
        return replace(columns, about=about)

    def rows(self, read: Read) -> Read:
        """What reads the rows that are written; `read` reads those of workers, and may be called more than once."""

        def finished() -> Iterable[Block]:
            highest = self.file_scale
            rows = read() if highest is None else file_scaled(read, self.columns, highest)
            return smoothed(rows, self.columns, self.smooth)

        return finished if self.blend is None else self.blend.rows(finished, self.in_memory)
