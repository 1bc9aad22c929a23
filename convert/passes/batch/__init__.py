"""Passes on the batch dimension."""
