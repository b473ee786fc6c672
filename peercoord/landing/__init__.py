"""Bringing finished work onto the project's branch: ``land``, ``land --undo``, and what a merge would meet."""
