"""Perch SavedModels to one self-describing ONNX file, proven equal to TensorFlow.

`convert.conversion.convert` is the whole way; `perch-convert` calls it. TensorFlow is imported by what needs it, so
that `--help` and wrong arguments answer at once.
"""

SAMPLE_RATE = 32_000
WINDOW_SAMPLES = 160_000
"""What every version of Perch takes: 5 s at 32 kHz."""
