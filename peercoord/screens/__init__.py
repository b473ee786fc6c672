"""Screens that people look at and act from."""
