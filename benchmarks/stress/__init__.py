"""Promises that take minutes and gigabytes to test: huge recordings, many files, killed runs, a million rows."""
