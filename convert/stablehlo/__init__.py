"""StableHLO, as TensorFlow holds it in an `XlaCallModule`, to ONNX.

`module` gets the text out of a SavedModel, `text` parses it, `translate` walks it with what `tensor`, `graph` and the
op modules know. JAX is not needed.
"""
