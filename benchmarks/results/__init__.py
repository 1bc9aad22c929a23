"""`benchmarks/RESULTS.md` and its plots, made from the figures that the commands wrote."""
