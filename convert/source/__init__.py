"""Looking at a SavedModel and running it."""
