"""Promises that take minutes and gigabytes to test: long and large recordings, many files, kills, a million rows."""
