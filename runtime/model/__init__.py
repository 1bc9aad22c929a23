"""The model: a converted file's description of itself, and sessions that run it."""
