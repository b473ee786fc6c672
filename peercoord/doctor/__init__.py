"""What is wrong with a team, and the safe fixes."""
