"""Comparing a converted graph with TensorFlow: the audio, the measures, the tolerances."""
