"""The background agent of a worktree."""
