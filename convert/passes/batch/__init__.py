"""Passes on the batch axis."""
