"""Requests of a worktree and their answers, as files."""
