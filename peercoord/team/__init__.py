"""Setting a team up and taking it down: worktrees, branches, sessions."""
