"""What goes wrong in a conversion, said for the person who ran it."""

from runtime.errors import PerchError


class ConversionError(PerchError):
    """The SavedModel is not one that this project converts; the message names what and where."""


class ParityError(PerchError):
    """The converted model is not equal to TensorFlow's within the stated tolerances."""
