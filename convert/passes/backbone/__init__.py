"""Passes on the convolutions."""
