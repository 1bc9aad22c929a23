"""What commands and runs say: lines in a terminal, progress, warnings in a log, the version."""
