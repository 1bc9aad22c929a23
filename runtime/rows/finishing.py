"""What becomes of scores once rows are finished: options that a run and the merge of a dataset share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from runtime.request.request import Request
from runtime.rows.blending import Blend, Read
from runtime.rows.block import Block, Columns
from runtime.rows.smoothing import smoothed


@dataclass(frozen=True)
class Finishing:
    """Makes of the rows that workers scored, which hold `columns`, those that are written.

    Each model's scores are smoothed with the weights `smooth`, and then blended.
    """

    columns: Columns
    smooth: Sequence[float] | None = None
    blend: Blend | None = None

    @classmethod
    def of(cls, columns: Columns, request: Request) -> Finishing:
        """What a request asks for.

        Raises:
            InputError: it cannot be done with such rows.
        """
        blend = None if request.blend is None else Blend.made(columns, request.blend, request.blend_of)
        return cls(columns, request.weights, blend)

    @property
    def written(self) -> Columns:
        """What the rows hold that are written."""
        if self.blend is None:
            return self.columns
        about = dict(self.columns.about)
        options = {"blend": list(self.blend.weights.values()), "blend_of": self.blend.of}
        about["options"] = json.dumps({**json.loads(about["options"]), **options})
        return replace(self.blend.columns(self.columns), about=about)

    def rows(self, read: Read) -> Read:
        """What reads the rows that are written; `read` reads those of workers, and may be called more than once."""

        def finished() -> Iterable[Block]:
            return smoothed(read(), self.columns, self.smooth)

        return finished if self.blend is None else self.blend.rows(finished)
