"""A recording on disk: its samples, what its container claims, its windows."""
