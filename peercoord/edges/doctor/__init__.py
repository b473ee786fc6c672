"""Looking for what is wrong: each finding with the command that mends it."""
