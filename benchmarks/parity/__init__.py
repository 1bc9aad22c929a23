"""`perch-bench parity`: do converted files give the outputs of their SavedModel, and if not, where do they differ?"""
