"""What converted files are compared with beside the SavedModel: a notebook that calls it, and float64."""
