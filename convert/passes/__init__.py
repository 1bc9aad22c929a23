"""Graph to graph: each pass matches on structure and leaves alone what it does not know."""
