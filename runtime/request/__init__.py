"""What may be asked of a run: every option once, as keywords, as a command line, as a page; and what it reads."""
