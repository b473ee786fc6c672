"""A person's side of the memory bank: what waits is shown side by side, decided with one key, and can be undone."""
