"""Processes: what they say to each other, and who starts, feeds and ends them."""
