"""The demonstration: a real team on a real repository, with one of its members killed in the middle."""
