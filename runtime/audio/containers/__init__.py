"""Sound files as they are opened: what a container says of its length is a claim that is held against the file."""

from runtime.audio.containers.reading import AudioFile, Decoded
from runtime.audio.containers.sound import LEAST_RATE, MOST_RATE, Sound, open_streams
from runtime.audio.containers.wav import notes_on_zeros

__all__ = ["LEAST_RATE", "MOST_RATE", "AudioFile", "Decoded", "Sound", "notes_on_zeros", "open_streams"]
