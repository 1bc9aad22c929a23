"""Perches as JAX exports them today: StableHLO inside one XlaCallModule; `perch.write_saved_model`."""
