"""`perch-bench parity`: whether converted files give what their SavedModel gives, and where they do not."""
