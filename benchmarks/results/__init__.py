"""`benchmarks/RESULTS.md` and its plots, made from the JSON of real runs."""
