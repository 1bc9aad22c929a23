"""The precisions in which a model can be converted, each proven in its own way."""
