"""Passes on the frontend: frames, spectrogram, PCEN."""
