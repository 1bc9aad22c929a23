"""What Perch's frontends are set to, whichever framework writes them; needs neither TensorFlow nor JAX."""

from __future__ import annotations

from typing import NamedTuple

STRIDE = 320
MEL_CHANNELS = 160
FREQUENCIES = (60.0, 10_000.0)
PCEN_TAPS = 256


class Pcen(NamedTuple):
    """Parameters of per-channel energy normalisation (Wang et al. 2017, arXiv:1607.05666)."""

    smoothing: float
    gain: float
    bias: float
    root: float


PCEN = {"simple": Pcen(0.1, 0.5, 2.0, 2.0), "complex": Pcen(0.145, 0.8, 10.0, 4.0)}
