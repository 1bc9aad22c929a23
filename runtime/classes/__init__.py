"""The classes that a user asks for, found among the columns of a model's class head."""
