"""Passes on the convolutional backbone: activations, batch norm, padding, squeeze-and-excite."""
