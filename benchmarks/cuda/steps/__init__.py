"""What `perch-bench cuda` measures, a file for each step, and what steps share."""
