"""How rows are written: one file for each format, and `choice`, which says which it is."""
