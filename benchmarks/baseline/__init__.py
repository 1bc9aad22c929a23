"""What converted files are compared with, besides the SavedModel itself."""
