"""The classes that a user asks for, matched to the columns of a model's class head."""
