"""The git side of a team: worktrees, the shared memory bank, sessions, and taking all of it away again."""
