"""Pictures of a run's rows: the cloud of its embeddings, and a soundscape's timeline."""
