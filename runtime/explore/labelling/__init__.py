"""The page for listening and labelling: its label file, its orders of windows, its server."""
