"""The random share: windows that were labelled in a random order, and so stand for all windows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import counted
from runtime.explore.labelled_rows import LabelledRows
from runtime.explore.rows import RowFile
from runtime.explore.tables import format_table

WORD = b"perch-explore random share\n"
"""Sets this order apart from other uses of the hash. Another word would reshuffle what people have labelled."""
CONFIDENCE = 0.95
FAIR = 0.8
"""Least part of the share that must be labelled: people pass over windows that are hard, or are unsure of them."""
WIDE = 0.4
"""An interval wider than this says little."""
NONE = (
    "no random share: these figures suppose that the labelled windows are like the others; windows labelled in random "
    "order would show whether they are"
)


def draw(row_id: str) -> int:
    """A window's place in the random order, from 0 to 2**64 - 1; it depends on the row_id alone.

    Whatever rows there are, those with the smallest numbers are a random sample of them, in every session and on every
    machine.
    """
    digest = hashlib.sha256(WORD + row_id.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8])


@dataclass(frozen=True)
class Share:
    """The part of the random share's labelled windows that hold a species, with its interval."""

    windows: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class RandomShare:
    """What a random sample of the scored windows says.

    Its windows are all those whose `draw` is at most the greatest draw of a window that was answered in random order.
    Which of them were answered in that order makes no difference: windows chosen in other ways come into it by chance.

    windows: those that were answered; unsure: those among them that nobody could label, which are left out below.
    unanswered: those without an answer.
    fair: enough of them are labelled to stand for all. Otherwise there is neither a precision nor a species' share.
    given: how many species the labelled windows would be given, by classifiers and thresholds that never saw their
        recordings; right: how many of these they hold.
    precision: right / given, with an interval from `low` to `high`; None if there is none to tell.
    species: of each species in the labelled windows, the share of windows that hold it.
    """

    windows: int
    unsure: int
    unanswered: int
    fair: bool
    given: int
    right: int
    precision: float | None
    low: float | None
    high: float | None
    species: dict[str, Share]

    def report(self, asked: float) -> str:
        """The random share as text; `asked` is the precision that thresholds were chosen for."""
        counts = f"random share: {counted(self.windows - self.unsure, 'window')} labelled, {self.unsure:,} unsure"
        if self.unanswered:
            counts += f", {self.unanswered} not answered"
        lines = [counts, self.remark(asked)]
        if self.species:
            shares = [(name, *vars(share).values()) for name, share in self.species.items()]
            lines += ["", format_table(("random share", "windows", "share", "from", "to"), shares)]
        return "\n".join(lines)

    def remark(self, asked: float) -> str:
        """What the share says of the precision, as a sentence."""
        if not self.fair:
            return "too many of its windows have no label for a fair sample: label more of them"
        if self.precision is None or self.low is None or self.high is None:
            return (
                "the thresholds give no species in these windows, so precision is unknown: label more in random order"
            )
        found = (
            f"the thresholds give {self.given} species in these windows, {self.right} of them rightly: precision "
            f"{self.precision:.3f}, 95% interval {self.low:.3f} to {self.high:.3f}"
        )
        if self.high < asked:
            return f"{found}; that is less than {asked:g}: the labelled windows are not like the others"
        if self.high - self.low > WIDE:
            return f"{found}; that is too few to say more: label more in random order"
        return f"{found}, which agrees with the {asked:g} asked for"


def estimate(
    files: Sequence[RowFile], labelled: LabelledRows, truth: NDArray[np.bool_], given: NDArray[np.bool_]
) -> RandomShare | None:
    """What the random share says of species `given` to labelled rows; None if no row was answered in random order.

    `truth` and `given` are bool `[labelled rows, species]`. `given` must come from classifiers and thresholds that
    never saw the row's recording.
    """
    if not any(map(len, labelled.random)):
        return None
    draws = [np.array([draw(row_id) for row_id in file.row_ids], np.uint64) for file in files]
    last = max(part[rows].max() for part, rows in zip(draws, labelled.random, strict=True) if len(rows))
    inside = [(part <= last) & file.scored for part, file in zip(draws, files, strict=True)]
    answered = sum(int(part[rows].sum()) for part, rows in zip(inside, labelled.answered, strict=True))
    unanswered = sum(int(part.sum()) for part in inside) - answered
    drawn = np.concatenate([part[rows] for part, rows in zip(inside, labelled.rows, strict=True)])
    windows, count, right = int(drawn.sum()), int(given[drawn].sum()), int((given & truth)[drawn].sum())
    fair = windows >= FAIR * (answered + unanswered)
    tells = count and fair
    low, high = interval(right, count) if tells else (None, None)
    held = zip(labelled.names, labelled.truth[drawn].sum(axis=0).tolist(), strict=True) if fair else ()
    return RandomShare(
        windows=answered,
        unsure=answered - windows,
        unanswered=unanswered,
        fair=fair,
        given=count,
        right=right,
        precision=right / count if tells else None,
        low=low,
        high=high,
        species={name: Share(hits, hits / windows, *interval(hits, windows)) for name, hits in held if hits},
    )


def interval(hits: int, count: int) -> tuple[float, float]:
    """The 95% interval of a proportion, by Wilson's score method.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical
    Association 22 (1927), 209-212. It holds for independent windows. Those of one recording are alike, so the true
    interval is wider.
    """
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
