"""Perches as JAX exports them today: `perch.write_saved_model`. Only this package needs JAX."""
