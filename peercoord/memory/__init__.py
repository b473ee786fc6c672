"""The memory bank: contributions, merge, journal."""
