"""A Perch v1 in everything but training: `perch.write_saved_model`, or `python -m convert.untrained FOLDER`."""
