"""`perch-bench deadline`: does it end in time, on this machine, and what is there if it does not."""
