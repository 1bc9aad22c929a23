"""Inspecting a SavedModel, and running it as the reference."""
