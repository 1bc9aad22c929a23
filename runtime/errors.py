"""Errors a user meets. Each message is one line: what, where, what to do."""


class PerchError(Exception):
    """Base of all errors that this project raises on purpose."""


class InputError(PerchError, ValueError):
    """Something the user gave cannot be used."""


class ArtifactError(InputError):
    """The `.onnx` file is missing, corrupt, or was not made by `perch-convert`."""


class DeviceError(PerchError, RuntimeError):
    """The execution provider that was asked for cannot be had here."""


class RecordingError(PerchError):
    """A recording cannot be read, or not to its end."""


def reason(error: Exception) -> str:
    """What the system said, without the path, which stands beside it."""
    return str(getattr(error, "strerror", None) or error).lower()
