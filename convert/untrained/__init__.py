"""Models that are Perches in everything but training: `python -m convert.untrained FOLDER`.

`perch.write_saved_model` writes v1 in plain TensorFlow ops, as published up to 2025; `native.perch.write_saved_model`
writes v1, v2 and SurfPerch as StableHLO, and needs JAX. `recipe` has their parameters.
"""
