"""Passes on the class heads."""
