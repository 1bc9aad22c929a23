"""Child processes: their messages, what each does, and the supervisor that starts, feeds and ends them."""
