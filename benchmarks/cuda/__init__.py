"""What a CUDA card does with converted files: `perch-bench cuda`, in steps that each stand alone."""
