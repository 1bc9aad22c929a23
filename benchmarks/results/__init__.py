"""`docs/results.md` and its plots, made from the figures that the commands wrote."""
