"""The parameters of untrained Perches, whichever framework writes them; needs neither TensorFlow nor JAX."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from convert.untrained import stages
from convert.untrained.stages import Stage

Frontend = Literal["simple", "complex"]
"""How audio becomes a magnitude: from real and imaginary part of an RFFT (since 2023), or SciPy's STFT (2022)."""
Scaling = Literal["pcen", "log"]
Smoothing = Literal["causal", "reversed"]
"""The frame with the greatest weight in PCEN's smoothing: the newest (since 2024), or the oldest of 256 (before)."""
Activation = Literal["relu", "swish"]
STRIDE = 320
PCEN_TAPS = 256
CALIBRATION_WINDOWS = 16
BATCH_NORM_EPSILON = 1e-5
"""The default of flax.linen.BatchNorm."""
LOGIT_SPREAD = 2.0
"""How much the logit of a class varies between the clips calibrated on (a standard deviation, on average)."""
LOGIT_CENTRE = -5.0
"""Most species are absent from most clips."""


class Pcen(NamedTuple):
    """Parameters of per-channel energy normalisation (Wang et al. 2017, arXiv:1607.05666)."""

    smoothing: float
    gain: float
    bias: float
    root: float


LOG_FLOOR, LOG_SCALE = 1e-5, 0.1
"""arXiv:2508.04665, appendix A.2. The public source has a floor of 1e-2, below which quiet recordings vanish."""
PCEN = {"simple": Pcen(0.1, 0.5, 2.0, 2.0), "complex": Pcen(0.145, 0.8, 10.0, 4.0)}


def taps(pcen: Pcen, smoothing: Smoothing) -> list[float]:
    """The weights of PCEN's smoothing, starting with the oldest frame."""
    keep = 1.0 - pcen.smoothing
    if smoothing == "reversed":
        return [keep**k for k in range(PCEN_TAPS - 1)] + [pcen.smoothing]
    return [keep ** (PCEN_TAPS - 1)] + [pcen.smoothing * keep**k for k in range(PCEN_TAPS - 2, -1, -1)]


class Mel(NamedTuple):
    """The bands of a mel spectrogram, between two frequencies in Hz."""

    channels: int
    lowest: float
    highest: float


V1_MEL = Mel(160, 60.0, 10_000.0)
V2_MEL = Mel(128, 60.0, 16_000.0)


class ClassHead(NamedTuple):
    """An output with one column per class: its name, the header of its class list, and the number of classes."""

    name: str
    namespace: str
    classes: int


@dataclass(frozen=True)
class Recipe:
    """What distinguishes one untrained Perch from another.

    With `pair` the outputs are a `(logits, embedding)` tuple; with `fixed_batch` also, and the batch is fixed to 1, as
    in the oldest models. The scaling "log" comes with Perch v2's head, outputs and class lists.
    """

    frontend: Frontend = "simple"
    scaling: Scaling = "pcen"
    smoothing: Smoothing = "causal"
    activation: Activation = "relu"
    """Inside the blocks; stem and head always have swish."""
    fixed_batch: bool = False
    pair: bool = False
    mel: Mel = V1_MEL
    stages: tuple[Stage, ...] = stages.B1
    stem: int = 32
    embedding: int = 1280
    classes: tuple[ClassHead, ...] = (
        ClassHead("label", "ebird2021", 10932),
        ClassHead("genus", "ebird2021_genera", 2333),
        ClassHead("family", "ebird2021_families", 249),
        ClassHead("order", "ebird2021_orders", 41),
    )
    seed: int = 0

    @property
    def is_v2(self) -> bool:
        return self.scaling == "log"

    @property
    def gives_pair(self) -> bool:
        return self.pair or self.fixed_batch


PERCH_V1 = Recipe()
SHALLOW = replace(PERCH_V1, stages=stages.TINY, embedding=512)
"""v1 with few blocks: its embeddings tell sounds apart, those of a deep untrained one hardly do."""
PERCH_V2 = Recipe(
    frontend="complex",
    scaling="log",
    mel=V2_MEL,
    stages=stages.B3,
    stem=40,
    embedding=1536,
    classes=(ClassHead("label", "inat2024_fsd50k", 14795),),
)
"""What Google's public source exports (chirp/models/perch_2.py in google-research/perch)."""
PERCH_V2_PUBLISHED = replace(PERCH_V2, frontend="simple", activation="swish")
"""The published model, as others have described it: frames by convolution, swish inside the blocks."""
SURFPERCH = Recipe(pair=True, mel=Mel(128, 50.0, 16_000.0), classes=PERCH_V1.classes[:1])
"""A sibling of v1 for coral reefs. Of its outputs only this is published: they are a pair, with 10,932 classes."""

TINY = Recipe(
    stages=stages.TINY,
    stem=8,
    embedding=24,
    classes=(ClassHead("label", "ebird2021", 40), ClassHead("genus", "ebird2021_genera", 9)),
)
TINY_V2 = Recipe(
    frontend="complex",
    scaling="log",
    mel=V2_MEL,
    stages=stages.TINY_V2,
    stem=8,
    embedding=24,
    classes=(ClassHead("label", "inat2024_fsd50k", 60),),
)
TINY_V2_PUBLISHED = replace(TINY_V2, frontend="simple", activation="swish")
