"""Who is in the team: joining, liveness, leadership."""
