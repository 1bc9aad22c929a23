"""Perches as JAX exports them today: `perch.write_saved_model`. All that needs JAX is here."""
