"""Proves and times: converted models against TensorFlow, on this machine."""
