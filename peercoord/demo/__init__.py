"""A demonstration with real processes."""
