"""What goes wrong in a conversion, said for the person who ran it."""

import warnings

from runtime.errors import PerchError


def first_line(error: Exception) -> str:
    """What a library said, cut to one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def warn_not_apart(error: Exception) -> None:
    """Says that constants are not TensorFlow's own; whether that does any harm the proof will tell."""
    warnings.warn(
        f"TensorFlow cannot compute apart what does not depend on the audio, so NumPy does ({first_line(error)})",
        RuntimeWarning,
        stacklevel=3,
    )


class ConversionError(PerchError):
    """The SavedModel is not one that this project converts; the message names what and where."""


class ParityError(PerchError):
    """The converted model is not equal to TensorFlow's within the stated tolerances."""
