"""Proves and times: converted models against TensorFlow, on this machine."""

SOUNDSCAPE_WINDOWS = 12
"""Windows of a competition's soundscape: a minute of 5 s."""
