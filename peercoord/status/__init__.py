"""The state as people and programs see it."""
