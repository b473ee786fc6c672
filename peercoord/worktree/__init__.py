"""What one worktree asks of the team, and what it is told."""
