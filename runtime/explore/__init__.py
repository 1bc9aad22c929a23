"""What can be learnt from the rows of a run: pictures, first labels, similar windows."""
