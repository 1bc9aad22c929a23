"""SavedModels of plain TensorFlow ops to ONNX."""
