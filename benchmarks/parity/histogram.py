"""The histogram of windows by their error, for the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS_A_DECADE = 4


@dataclass(frozen=True)
class Histogram:
    """Counts of windows by their greatest error, in four bins a decade; the first bin begins at 10**`first`."""

    first: int
    counts: list[int]

    @property
    def decades(self) -> list[int]:
        """The exponents at the borders of decades."""
        return [self.first + i for i in range(len(self.counts) // BINS_A_DECADE + 1)]


def histogram(errors: NDArray[np.float64]) -> Histogram:
    """Counts errors `[windows]`; 0 counts as the smallest other error, one that is not finite as the greatest."""
    finite = errors[np.isfinite(errors) & (errors > 0)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (1e-8, 1e-8)
    first = int(np.floor(np.log10(least)))
    last = max(first + 1, int(np.ceil(np.log10(most))))
    clipped = np.clip(np.nan_to_num(errors, nan=most, posinf=most), least, most)
    counts, _ = np.histogram(np.log10(clipped), bins=(last - first) * BINS_A_DECADE, range=(first, last))
    return Histogram(first, counts.tolist())
