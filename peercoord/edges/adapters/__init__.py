"""Other programs' task lists: read here, written back by the leader alone."""
