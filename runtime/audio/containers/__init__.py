"""Sound files as they are opened: what a container says of its length is a claim that is held against the file."""

from runtime.audio.containers.reading import Decoded
from runtime.audio.containers.sound import Sound, open_streams

__all__ = ["Decoded", "Sound", "open_streams"]
