"""The model: what a converted file says of itself, and a session that runs it."""
