"""Where the protocol meets people and programs: the command line, the team, task sources."""
