"""Coding agents: what each tells by its hooks, what it is answered, and how it is set up."""
