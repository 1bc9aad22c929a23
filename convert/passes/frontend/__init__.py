"""Passes on the spectrogram frontend: framing, DFT, PCEN."""
