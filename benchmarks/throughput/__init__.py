"""`perch-bench throughput`: how many windows a second, and where the time goes."""
