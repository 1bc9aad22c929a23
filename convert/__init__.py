"""Perch SavedModels to one self-describing ONNX file, proven equal to TensorFlow.

`convert.conversion.convert` does it; `perch-convert` calls it. TensorFlow is imported only where it is needed, so that
`--help` and wrong arguments are answered at once.
"""

from typing import Literal

SAMPLE_RATE = 32_000
WINDOW_SAMPLES = 160_000
"""The input of every version of Perch: 5 s at 32 kHz."""

Precision = Literal["fp32", "fp16"]
HeadPrecision = Literal["float32", "int8"]
Device = Literal["cpu", "cuda"]
"""The device that a graph is made for; it runs on both."""
