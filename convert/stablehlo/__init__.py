"""StableHLO, as TensorFlow holds it in an `XlaCallModule`, to ONNX.

`module` gets the text out of a SavedModel, `text` parses it, and `translate` turns it into a `graph`, operation by
operation, by the functions in the other files. JAX is not needed.
"""
