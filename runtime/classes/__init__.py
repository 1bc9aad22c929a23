"""The classes that a user wants, as columns of a model's head."""
