"""Whether a converted graph gives what TensorFlow gives, and the audio to tell by."""
