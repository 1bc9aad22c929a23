"""Recordings, from files or memory: finding them, reading them, cutting them into windows."""
