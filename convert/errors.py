"""Errors of a conversion, each a message for the person who ran it."""

import warnings

from runtime.errors import PerchError, first_line


class ConversionError(PerchError):
    """The SavedModel cannot be converted; the message names what prevents it and where it is."""


class ParityError(PerchError):
    """The converted model's outputs differ from TensorFlow's by more than the stated tolerances."""


def warn_of_numpy_constants(error: Exception) -> None:
    """Warns that constants were not computed by TensorFlow; whether that matters is found by the comparison."""
    warnings.warn(
        f"TensorFlow cannot compute the constants of the graph by itself, so NumPy does ({first_line(error)})",
        RuntimeWarning,
        stacklevel=3,
    )
