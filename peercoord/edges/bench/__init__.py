"""Measuring on the user's own machine: ratios of things measured side by side, in one run."""
