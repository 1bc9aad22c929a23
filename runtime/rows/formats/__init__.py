"""How rows are written: one file for each format, and `choice`, which picks the format."""
