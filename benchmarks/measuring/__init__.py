"""What every measurement needs: clock, memory, processes, environment, figures."""
