"""Rows: put in order, kept on disk, written, given back."""
