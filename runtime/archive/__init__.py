"""Work for more than one machine: an archive's units, the dataset folder of their rows, shards, and the merge."""
