"""Opens sound files, and checks what their containers claim of their length against the file itself."""

from runtime.audio.containers.reading import AudioInfo, Decoded, reader
from runtime.audio.containers.sound import LEAST_RATE, MOST_RATE, Sound, open_streams
from runtime.audio.containers.wav import notes_on_zeros

__all__ = ["LEAST_RATE", "MOST_RATE", "AudioInfo", "Decoded", "Sound", "notes_on_zeros", "open_streams", "reader"]
