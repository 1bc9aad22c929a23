"""What every measurement needs: timing, the use of memory and processors, the environment, figures."""
